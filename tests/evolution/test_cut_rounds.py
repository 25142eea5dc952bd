"""Work that was cut is done again: what was asked of the cloud is neither asked nor counted twice."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.records import EgressEntry, FineTuneJob, FineTuneResult
from ecc_fed.core.rows import MetricRow, read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.evolution.spending import open_attempts, spent_by, spent_on_base
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.privacy.redaction import NoRedaction
from ecc_fed.teacher.gateway.budget import Budget, Spending
from ecc_fed.teacher.gateway.cache import ReplyCache
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.journal import OPEN_CALLS, read_attempts
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.settings import GatewaySettings
from tests.evolution.fakes import CountingModel, services, settings, shop
from tests.evolution.test_device import device
from tests.teacher.fakes import ScriptedTeacher, failed

# q s1 fails for good, q s2 and q t1 at first; the last query of each round repeats the first.
SHOP = replace(
    (made := shop()),
    stream=tuple(replace(p, query=made.stream[0].query) if i in (3, 7) else p for i, p in enumerate(made.stream)),
)


class Killed(BaseException):
    """No exception that anything catches."""


def script(prompt: TeacherPrompt, attempt: int) -> Completion | None:
    if prompt.turns[-1].text == "q s1":
        return failed("blocked")
    return failed("unavailable") if prompt.turns[-1].text in ("q s2", "q t1") and attempt == 1 else None


class Cloud(ScriptedTeacher):
    """Outlives the processes that ask it; dies with them before the attempt numbered `kill_at`."""

    def __init__(self, kill_at: int | None = None) -> None:
        super().__init__(script)
        self.kill_at = kill_at

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        if len(self.sent) == self.kill_at:
            self.kill_at = None
            raise Killed
        return super().complete(prompts, timeout_seconds)


class FailsOnce(CountingModel):
    failed = False

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")
        return super().fine_tune(jobs)


def process(root: Path, cloud: Cloud, cached: bool, budget: Budget | None = None, model: CountingModel | None = None):
    """A process that has just started: only files and the cloud remember."""
    given = services()
    ledger = MemoryLedger()
    cache = ReplyCache(root / "replies.sqlite") if cached else None
    gateway = Gateway(
        cloud,
        ledger,
        NoRedaction(),
        GatewaySettings(max_parallel=1),
        cache=cache,
        budget=budget or Budget(),
        retry=RetryPolicy(max_attempts=2),
        sleep=lambda seconds: None,
        clock=lambda: 0.0,
    )
    gateway.budget.restore(spent_by([RunDirectory(root).shop(SHOP.shop_id)]))
    given = replace(given, gateway=gateway, ledger=ledger, journal=gateway.journal, end_model=model or CountingModel())
    return device(root, [SHOP], given, settings(cycles=2, human_share=0.0)), gateway


@dataclass
class Books:
    rows: list[MetricRow]
    egress: list[EgressEntry]
    evaluated: list[EgressEntry]
    spent: Spending
    cache: list[tuple[str, ...]]


def books(root: Path, spent: Spending, cached: bool) -> Books:
    folder = RunDirectory(root).shop(SHOP.shop_id)
    state = load_state(folder, 2)
    rows = [replace(row, serve_seconds=0.0, train_seconds=0.0) for row in state.metrics]
    stored = sqlite3.connect(root / "replies.sqlite").execute("SELECT * FROM replies").fetchall() if cached else []
    assert open_attempts(folder) == []
    evaluated = read_rows(folder / "evaluation_final/egress.jsonl", EgressEntry)
    return Books(rows, list(state.egress), evaluated, spent, stored)


def play(root: Path, cloud: Cloud, cached: bool) -> Books:
    """Two rounds and the final evaluation, in a new process after every kill."""
    work = [
        lambda of: of.train("shop_0", 1, None),
        lambda of: of.train("shop_0", 2, None),
        lambda of: of.evaluate("shop_0", 2, None, "final"),
    ]
    shops, gateway = process(root, cloud, cached)
    for task in work:
        try:
            task(shops)
        except Killed:
            shops, gateway = process(root, cloud, cached)
            task(shops)
    return books(root, gateway.budget.spent, cached)


def interrupted(entries: list[EgressEntry]) -> list[EgressEntry]:
    return [entry for entry in entries if entry.details["outcome"] == "interrupted"]


def heard(entries: list[EgressEntry]) -> list[EgressEntry]:
    return [entry for entry in entries if entry.details["outcome"] != "interrupted"]


def approx(spent: Spending) -> Spending:
    """Sums of prices carry rounding errors."""
    return replace(spent, cost_usd=pytest.approx(spent.cost_usd))


@pytest.mark.parametrize("cached", [False, True])
def test_cut_before_any_attempt_and_done_again_the_books_are_those_of_a_run_that_was_not(
    tmp_path: Path, cached: bool
) -> None:
    whole = Cloud()
    expected = play(tmp_path / "whole", whole, cached)
    assert sum(row.teacher_cached for row in expected.rows) == (2 if cached else 0)
    assert sum(row.teacher_failed for row in expected.rows) > 0
    for kill_at in range(0, len(whole.sent), 1 if cached else 4):
        cloud = Cloud(kill_at)
        found = play(tmp_path / str(kill_at), cloud, cached)
        assert cloud.kill_at is None
        assert cloud.sent == whole.sent, "each prompt reached the cloud as often as without the kill"
        assert found.rows == expected.rows
        assert (heard(found.egress), heard(found.evaluated)) == (expected.egress, expected.evaluated)
        assert found.cache == expected.cache
        lost = interrupted([*found.egress, *found.evaluated])
        assert {entry.details["attempt"] for entry in lost} <= {1, 2}
        assert [entry.kind for entry in lost] == ["instruction", "few_shot_examples", "query"]
        # The attempt under way may have been billed: its reservation counts, once.
        (tokens, cost) = found.spent.tokens - expected.spent.tokens, found.spent.cost_usd - expected.spent.cost_usd
        assert found.spent.requests == expected.spent.requests + 1
        assert tokens > Cloud.max_output_tokens
        assert cost == pytest.approx(((tokens - 5) * 1_000 + 5 * 2_000) / 1e6)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_a_round_that_failed_after_its_calls_is_done_again_without_any(
    tmp_path: Path, cached: bool, again: bool
) -> None:
    whole, cloud = Cloud(), Cloud()
    shops, gateway = process(tmp_path / "whole", whole, cached)
    shops.train("shop_0", 1, None)
    expected = load_state(RunDirectory(tmp_path / "whole").shop("shop_0"), 1)
    shops, cut = process(tmp_path / "cut", cloud, cached, model=FailsOnce())
    with pytest.raises(RuntimeError):
        shops.train("shop_0", 1, None)
    asked = list(cloud.sent)
    assert asked
    if again:  # in another process
        shops, cut = process(tmp_path / "cut", cloud, cached)
    shops.train("shop_0", 1, None)
    state = load_state(RunDirectory(tmp_path / "cut").shop("shop_0"), 1)
    assert cloud.sent == whole.sent
    assert state.egress == expected.egress
    assert state.spent == expected.spent
    assert gateway.budget.spent == cut.budget.spent == approx(state.spent)
    assert replace(state.metrics[0], serve_seconds=0, train_seconds=0) == replace(
        expected.metrics[0], serve_seconds=0, train_seconds=0
    )


def test_what_a_round_asked_that_failed_for_good_is_in_the_ledger_of_the_next(tmp_path: Path) -> None:
    cloud = Cloud()
    shops, gateway = process(tmp_path, cloud, cached=False, model=FailsOnce())
    with pytest.raises(RuntimeError):
        shops.train("shop_0", 1, None)
    before = len(cloud.sent)
    assert gateway.budget.spent == approx(spent_by([RunDirectory(tmp_path).shop("shop_0")]))
    shops.train("shop_0", 2, None)
    state = load_state(RunDirectory(tmp_path).shop("shop_0"), 2)
    queries = [entry for entry in state.egress if entry.kind == "query"]
    assert len(queries) == len(cloud.sent) > before
    assert [entry.server_round for entry in queries] == [1] * before + [2] * (len(cloud.sent) - before)
    assert gateway.budget.spent == approx(state.spent) == approx(spent_by([RunDirectory(tmp_path).shop("shop_0")]))
    assert state.spent.requests == len(cloud.sent)


def test_a_journal_that_outlived_its_state_counts_nothing(tmp_path: Path) -> None:
    """It stays for the case that the work is done again."""
    folder = RunDirectory(tmp_path).shop("shop_0")
    shops, gateway = process(tmp_path, Cloud(), cached=False)
    assert spent_on_base([folder]) == Spending()
    shops.evaluate("shop_0", 0, None, "base")
    of_base = spent_on_base([folder])
    assert of_base == approx(gateway.budget.spent) and of_base.requests > 0
    for server_round in (1, 2):
        assert {line.tag for line in read_attempts(folder / OPEN_CALLS)} <= {"base", f"train/{server_round - 1}"}
        assert open_attempts(folder) == [] and spent_by([folder]) == approx(gateway.budget.spent)
        shops.train("shop_0", server_round, None)
    shops.evaluate("shop_0", 2, None, "final")
    assert {line.tag for line in read_attempts(folder / OPEN_CALLS)} == {"final"}
    assert spent_by([folder]) == approx(gateway.budget.spent)
    assert spent_on_base([folder]) == of_base
    assert all(entry.server_round == 2 for entry in read_rows(folder / "evaluation_final/egress.jsonl", EgressEntry))


def test_what_a_cut_evaluation_of_the_base_spent_is_the_bases(tmp_path: Path) -> None:
    folder = RunDirectory(tmp_path).shop("shop_0")
    shops, _ = process(tmp_path, Cloud(kill_at=3), cached=False)
    with pytest.raises(Killed):
        shops.evaluate("shop_0", 0, None, "base")
    assert spent_on_base([folder]) == spent_by([folder]) != Spending()


def test_a_torn_last_line_is_cut(tmp_path: Path) -> None:
    folder = RunDirectory(tmp_path).shop("shop_0")
    whole, cloud = Cloud(), Cloud()
    process(tmp_path / "whole", whole, cached=False)[0].train("shop_0", 1, None)
    shops, _ = process(tmp_path, cloud, cached=False, model=FailsOnce())
    with pytest.raises(RuntimeError):
        shops.train("shop_0", 1, None)
    with (folder / OPEN_CALLS).open("ab") as file:
        file.write(b'{"tag": "train/1", "key": "00')
    process(tmp_path, cloud, cached=False)[0].train("shop_0", 1, None)
    assert cloud.sent == whole.sent
    expected = load_state(RunDirectory(tmp_path / "whole").shop("shop_0"), 1)
    assert load_state(folder, 1).egress == expected.egress


def test_a_budget_that_a_dead_process_used_up_is_used_up(tmp_path: Path) -> None:
    cloud = Cloud()
    shops, _ = process(tmp_path, cloud, False, Budget(max_requests=7), FailsOnce())
    with pytest.raises(RuntimeError):
        shops.train("shop_0", 1, None)
    shops, gateway = process(tmp_path, cloud, False, Budget(max_requests=7))
    shops.train("shop_0", 1, None)
    shops.train("shop_0", 2, None)
    shops, gateway = process(tmp_path, cloud, False, Budget(max_requests=7))
    shops.evaluate("shop_0", 2, None, "final")
    assert len(cloud.sent) == 7 == gateway.budget.spent.requests
    folder = RunDirectory(tmp_path).shop("shop_0")
    assert spent_by([folder]).requests == 7
