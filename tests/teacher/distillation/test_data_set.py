from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.core.errors import BudgetExceeded, RunDirectoryError, TeacherError, UserError
from ecc_fed.core.records import EgressEntry, Pair, Shop
from ecc_fed.core.rows import read_rows
from ecc_fed.core.run_directory import read_json, read_jsonl
from ecc_fed.teacher.distillation import data_set
from ecc_fed.teacher.distillation.data_set import PATIENCE, DataSet, sole_filler
from ecc_fed.teacher.distillation.distill import Query, identity, plan_queries
from ecc_fed.teacher.gateway.budget import Budget
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.wording import TABLE_TWO

from ..fakes import ScriptedTeacher, failed, gateway

COUNT = 10
NEVER: Callable[..., None] = lambda prompt, attempt: None  # noqa: E731


def queries(count: int = COUNT) -> list[Query]:
    stream = tuple(Pair(f"p{i}", f"s{i}", "shop", (), f"问题{i}", f"回答{i}") for i in range(count))
    history = (Pair("h", "s", "shop", (), "在吗", "在的"),)
    return plan_queries([Shop("shop", history, stream, ())], ["stream"], 500)


def fill(folder: Path, script: Any = NEVER, asked: list[Query] | None = None, **settings: Any) -> ScriptedTeacher:
    asked = queries() if asked is None else asked
    teacher = ScriptedTeacher(script)
    cloud, ledger, _ = gateway(teacher, retry=RetryPolicy(max_attempts=1), **settings)
    progress: list[int] = []
    with sole_filler(folder):
        DataSet(folder, identity(asked, teacher, TABLE_TWO["zh"], "none")).fill(
            asked, cloud, ledger, 4, progress.append
        )
    assert progress == sorted(progress)
    return teacher


def replies(folder: Path) -> list[Any]:
    return [row["reply"] for row in read_jsonl(folder / "distill.jsonl")]


def test_a_row_for_every_query(tmp_path: Path) -> None:
    fill(tmp_path / "new" / "set")
    folder = tmp_path / "new" / "set"
    assert replies(folder) == [f"回复：问题{i}" for i in range(COUNT)]
    row = read_jsonl(folder / "distill.jsonl")[3]
    assert (row["pair_id"], row["query"], row["context"], row["split"]) == ("p3", "问题3", [], "stream")
    assert (row["model_version"], row["input_tokens"], row["output_tokens"]) == ("fake-1.0", 10, 5)
    summary = read_json(folder / "distill.json")
    assert (summary["complete"], summary["queries"], summary["replies"]) == (True, COUNT, COUNT)
    assert summary["spent"] == {"requests": COUNT, "tokens": 15 * COUNT, "cost_usd": pytest.approx(0.02 * COUNT)}
    assert summary["model_versions"] == {"fake-1.0": COUNT}
    entries = read_rows(folder / "egress.jsonl", EgressEntry)
    assert len([entry for entry in entries if entry.kind == "query"]) == COUNT
    assert {entry.details["purpose"] for entry in entries} == {"distill"}


def test_a_second_pass_asks_for_what_is_missing_only(tmp_path: Path) -> None:
    def blocked(prompt: Any, attempt: int) -> Any:
        return failed("blocked") if prompt.turns[-1].text in ("问题2", "问题7") else None

    fill(tmp_path, blocked)
    summary = read_json(tmp_path / "distill.json")
    assert not summary["complete"]
    assert [(f["pair_id"], f["outcome"]) for f in summary["failures"]] == [("p2", "blocked"), ("p7", "blocked")]
    again = fill(tmp_path)
    assert len(again.sent) == 2
    assert sorted(replies(tmp_path)) == sorted(f"回复：问题{i}" for i in range(COUNT))
    summary = read_json(tmp_path / "distill.json")
    assert (summary["complete"], summary["failures"]) == (True, [])
    assert summary["spent"]["requests"] == COUNT + 2
    assert fill(tmp_path).sent == []


@pytest.mark.parametrize("kept_bytes", [-1, -20])
def test_a_torn_row_is_asked_for_again(tmp_path: Path, kept_bytes: int) -> None:
    fill(tmp_path)
    for name in ("distill.jsonl", "egress.jsonl"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:kept_bytes])
    again = fill(tmp_path)
    assert len(again.sent) == (0 if kept_bytes == -1 else 1)
    assert replies(tmp_path) == [f"回复：问题{i}" for i in range(COUNT)]


class Killed(BaseException):
    """No exception that anything catches."""


@pytest.mark.parametrize("kill_at", range(COUNT))
def test_a_pass_killed_at_any_call_loses_no_reply_that_was_paid(tmp_path: Path, kill_at: int) -> None:
    asked: list[str] = []

    def script(prompt: Any, attempt: int) -> None:
        if len(asked) == kill_at and not killed:
            killed.append(True)
            raise Killed
        asked.append(prompt.turns[-1].text)

    killed: list[bool] = []
    with pytest.raises(Killed):
        fill(tmp_path, script, cache_path=str(tmp_path / "cache"), max_parallel=1)
    fill(tmp_path, script, cache_path=str(tmp_path / "cache"), max_parallel=1)
    assert asked == [f"问题{i}" for i in range(COUNT)], "each was paid once"
    check_whole(tmp_path, interrupted=1)


def check_whole(folder: Path, interrupted: int) -> None:
    assert replies(folder) == [f"回复：问题{i}" for i in range(COUNT)]
    outcomes = [e.details["outcome"] for e in read_rows(folder / "egress.jsonl", EgressEntry) if e.kind == "query"]
    assert sorted(outcomes) == ["interrupted"] * interrupted + ["ok"] * COUNT
    spent = read_json(folder / "distill.json")["spent"]
    assert spent["requests"] == COUNT + interrupted
    assert spent["cost_usd"] >= 0.02 * COUNT - 1e-9
    assert list((folder / "open_calls").iterdir()) == []


@pytest.mark.parametrize("place", ["append_jsonl", "write_json", "unlink"])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_pass_killed_as_it_writes_counts_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, after: int
) -> None:
    """Killed before the rows, before the summary, or before the journals go."""
    whole = getattr(data_set, place) if place != "unlink" else Path.unlink
    calls = 0

    def killed(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += place != "unlink" or "open_calls" in str(arguments[0])
        if calls == after:
            calls += 1
            raise Killed
        return whole(*arguments, **options)

    monkeypatch.setattr(Path if place == "unlink" else data_set, place, killed)
    with pytest.raises(Killed):
        fill(tmp_path, cache_path=str(tmp_path / "cache"))
    fill(tmp_path, cache_path=str(tmp_path / "cache"))
    check_whole(tmp_path, interrupted=0)


def test_the_budget_counts_over_all_passes(tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match=r"max_requests is 6.*6 of 10 replies.*the same command goes on there"):
        fill(tmp_path, budget=Budget(max_requests=6))
    assert len(replies(tmp_path)) == 6
    assert read_json(tmp_path / "distill.json")["failures"] == []
    with pytest.raises(BudgetExceeded, match="max_requests is 6"):
        fill(tmp_path, budget=Budget(max_requests=6))
    assert len(fill(tmp_path, budget=Budget(max_requests=COUNT)).sent) == COUNT - 6


def test_a_teacher_that_is_gone_is_not_asked_for_ever(tmp_path: Path) -> None:
    many = queries(100)
    with pytest.raises(TeacherError, match=rf"none of the last {PATIENCE} requests \(error: scripted\).*0 of 100"):
        fill(tmp_path, lambda prompt, attempt: failed("error"), many)
    assert len(read_json(tmp_path / "distill.json")["failures"]) == PATIENCE
    assert len(fill(tmp_path, asked=many).sent) == 100


def test_failures_with_answers_between_them_are_no_end(tmp_path: Path) -> None:
    def seldom(prompt: Any, attempt: int) -> Any:
        number = int(prompt.turns[-1].text.removeprefix("问题"))
        return None if number % PATIENCE == PATIENCE - 1 else failed("unavailable")

    fill(tmp_path, seldom, queries(3 * PATIENCE))
    assert len(replies(tmp_path)) == 3
    assert len(read_json(tmp_path / "distill.json")["failures"]) == 3 * PATIENCE - 3


@pytest.mark.parametrize("outcome", ["error", "unavailable", "timeout", "rate_limited"])
def test_one_failure_fewer_than_the_patience_is_borne(tmp_path: Path, outcome: str) -> None:
    fill(tmp_path / "fewer", lambda prompt, attempt: failed(outcome), queries(PATIENCE - 1))
    with pytest.raises(TeacherError, match=f"none of the last {PATIENCE} requests"):
        fill(tmp_path / "enough", lambda prompt, attempt: failed(outcome), queries(PATIENCE))


def test_a_teacher_that_refuses_is_not_gone(tmp_path: Path) -> None:
    fill(tmp_path, lambda prompt, attempt: failed("blocked"), queries(2 * PATIENCE))
    assert len(read_json(tmp_path / "distill.json")["failures"]) == 2 * PATIENCE


def test_another_set_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UserError, match=r"holds another data set: it was made from another corpus.*--out"):
        DataSet(tmp_path, identity(queries(3), ScriptedTeacher(), TABLE_TWO["zh"], "none"))
    other = ScriptedTeacher()
    other.model = "other-model"
    with pytest.raises(UserError, match=r"its model is fake-model, this command's is other-model"):
        DataSet(tmp_path, identity(queries(), other, TABLE_TWO["zh"], "none"))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    which = identity(queries(), ScriptedTeacher(), TABLE_TWO["zh"], "none")
    fill(tmp_path)
    (tmp_path / "distill.json").write_text("{}")
    with pytest.raises(UserError, match="not of this kind or version"):
        DataSet(tmp_path, which)
    (tmp_path / "distill.json").unlink()
    with pytest.raises(UserError, match=r"distill.jsonl without its distill.json"):
        DataSet(tmp_path, which)
    (tmp_path / "distill.jsonl").write_text('{"pair_id": "p0"}\n')
    with pytest.raises(RunDirectoryError, match=r"row 1 lacks shop_id, prompt_sha256"):
        DataSet(tmp_path, which)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        sole_filler(tmp_path),
        pytest.raises(UserError, match="another command is filling"),
        sole_filler(tmp_path),
    ):
        pass
    with sole_filler(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="--out"), sole_filler(tmp_path / "file" / "set"):
        pass
