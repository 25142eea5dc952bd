"""Calls of several shops in one wave, cut while they are under way together."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.core.errors import RunDirectoryError, WriteError
from ecc_fed.core.run_directory import read_jsonl
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.journal import CallJournal, counted, read_attempts, spending

from ..fakes import ScriptedTeacher, StarRedactor, failed, gateway, request

QUESTIONS = [request(f"问题{number}{shop}", shop_id=shop) for number in range(3) for shop in ("a", "b")]


def approx(spent: Spending) -> Spending:
    """Sums of prices carry rounding errors."""
    return replace(spent, cost_usd=pytest.approx(spent.cost_usd))


def begun(path: Path, journal: CallJournal, tag: str = "train/1") -> list[Any]:
    return [entry for shop in ("a", "b") for entry in journal.begin(shop, path / shop / "open.jsonl", tag)]


def spent(path: Path) -> Any:
    a, b = (spending(counted(read_attempts(path / shop / "open.jsonl"))) for shop in ("a", "b"))
    return a + b


class Dies(ScriptedTeacher):
    """Ends its process before it answers `last`, once the answers to the other five prompts are noted."""

    def __init__(self, last: str, path: Path) -> None:
        super().__init__()
        self.last, self.path, self.alive = last, path, False

    def noted(self) -> int:
        lines = [line for shop in ("a", "b") for line in read_attempts(self.path / shop / "open.jsonl")]
        return sum(line.completion is not None for line in lines)

    def complete(self, prompts: Any, timeout_seconds: float) -> Any:
        if not self.alive and prompts[0].turns[-1].text == self.last:
            deadline = time.monotonic() + 10
            while self.noted() < 5 and time.monotonic() < deadline:
                time.sleep(1e-3)
            self.alive = True
            raise SystemExit
        return super().complete(prompts, timeout_seconds)


def test_what_is_noted_bears_the_redactions_name(tmp_path: Path) -> None:
    """It becomes the ledger's, where a process ended before its shop was saved."""
    cloud, ledger, _ = gateway(ScriptedTeacher(), redactor=StarRedactor())
    begun(tmp_path, cloud.journal)
    cloud.answer(QUESTIONS)
    noted = [line for shop in ("a", "b") for line in read_attempts(tmp_path / shop / "open.jsonl")]
    assert {entry.redaction for line in noted for entry in line.entries} == {"stars"}
    assert {entry.redaction for entry in ledger.entries()} == {"stars"}


def test_replies_that_were_back_behind_one_that_was_not_are_kept(tmp_path: Path) -> None:
    """The first call of the wave dies while the later ones are answered already."""
    whole, whole_ledger, _ = gateway(ScriptedTeacher())
    expected = whole.answer(QUESTIONS)
    teacher = Dies("问题0a", tmp_path)
    cut, _, _ = gateway(teacher)
    begun(tmp_path, cut.journal)
    with pytest.raises(SystemExit):
        cut.answer(QUESTIONS)
    assert spent(tmp_path).requests == 6
    answered = list(teacher.sent)
    assert len(answered) == 5
    again, ledger, _ = gateway(teacher)
    again.budget.restore(spent(tmp_path))
    lost = begun(tmp_path, again.journal)
    replies = again.answer(QUESTIONS)
    assert len(set(teacher.sent)) == len(teacher.sent) == 6, "each prompt was answered once"
    assert [(r.text, r.cost_usd, r.cached) for r in replies] == [(r.text, r.cost_usd, r.cached) for r in expected]
    assert ledger.entries() == whole_ledger.entries()
    assert {entry.details["outcome"] for entry in lost} == {"interrupted"}
    assert [entry.kind for entry in lost] == ["instruction", "few_shot_examples", "query"]
    assert again.budget.spent == approx(spent(tmp_path))
    assert again.budget.spent.requests == 7


def test_a_teacher_in_this_process_needs_no_line_before_a_call(tmp_path: Path) -> None:
    for remote, lines in ((True, 2), (False, 1)):
        teacher = ScriptedTeacher()
        teacher.remote = remote
        cloud, _, _ = gateway(teacher)
        path = tmp_path / str(remote)
        cloud.journal.begin("a", path, "base")
        cloud.answer(QUESTIONS[:1])
        assert len(read_jsonl(path)) == lines
        assert spending(counted(read_attempts(path))) == approx(cloud.budget.spent)


def test_a_call_is_answered_once_from_the_journal_and_only_under_its_tag(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda prompt, attempt: failed("unavailable") if attempt == 1 else None)
    cloud, ledger, waits = gateway(teacher)
    begun(tmp_path, cloud.journal)
    first = cloud.answer(QUESTIONS[:1])
    spent_once = cloud.budget.spent
    assert begun(tmp_path, cloud.journal) == []
    waits.seconds.clear()
    assert cloud.answer(QUESTIONS[:1]) == first
    assert (len(teacher.sent), waits.seconds, cloud.budget.spent) == (2, [], spent_once)
    cloud.answer(QUESTIONS[:1])
    assert len(teacher.sent) == 3, "what was taken is asked anew"
    recorded = ledger.entries()
    paid = [entry for entry in begun(tmp_path, cloud.journal, "train/2") if entry.kind == "query"]
    assert len(paid) == 3
    cloud.answer(QUESTIONS[:1])
    assert len(teacher.sent) == 4
    assert len(ledger.entries()) > len(recorded)


def test_what_nobody_asks_for_again_is_told_at_the_end(tmp_path: Path) -> None:
    cloud, _, _ = gateway(ScriptedTeacher())
    begun(tmp_path, cloud.journal)
    cloud.answer(QUESTIONS)
    begun(tmp_path, cloud.journal)
    cloud.answer(QUESTIONS[:2])
    total, untaken = cloud.journal.finish("a")
    assert total.requests == 3
    assert [entry.kind for entry in untaken] == ["instruction", "few_shot_examples", "query", "reply"] * 2
    path = tmp_path / "a" / "open.jsonl"
    kept = path.read_bytes()
    cloud.answer(QUESTIONS)
    assert cloud.journal.tag("a") == "" and path.read_bytes() == kept, "the work has ended, and may be done again"
    begun(tmp_path, cloud.journal)
    cloud.journal.discard("a")
    assert not path.exists()


def test_shops_that_began_nothing_keep_no_journal(tmp_path: Path) -> None:
    cloud, _, _ = gateway(ScriptedTeacher())
    cloud.answer(QUESTIONS)
    assert cloud.journal.take("a", "key") == [] and cloud.journal.tag("a") == ""
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_noted_is_not_sent(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    cloud, _, _ = gateway(teacher)
    (tmp_path / "file").write_text("")
    cloud.journal.begin("a", tmp_path / "file" / "open.jsonl", "base")
    with pytest.raises(WriteError, match="cannot write"):
        cloud.answer(QUESTIONS[:1])
    assert teacher.sent == []


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "open.jsonl").write_text('{"tag": 3}\n')
    with pytest.raises(RunDirectoryError, match=r"open\.jsonl, row 1"):
        CallJournal().begin("a", tmp_path / "open.jsonl", "base")
