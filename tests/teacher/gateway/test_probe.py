from typing import Any

import pytest

from ecc_fed.core.completion import Completion
from ecc_fed.core.errors import UserError
from ecc_fed.teacher.gateway.booking import held_back
from ecc_fed.teacher.gateway.budget import Spending, total
from ecc_fed.teacher.gateway.probe import PROBE, ProbeReport, probe
from ecc_fed.teacher.gateway.settings import GatewaySettings
from ecc_fed.teacher.prompts import PROBE_PROMPT

from ..fakes import ScriptedTeacher, failed, ok

SETTINGS = GatewaySettings(first_delay_seconds=3.0)


class Probable(ScriptedTeacher):
    def __init__(self, *answers: Completion | None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.timeouts: list[float] = []

    def probe(self, timeout_seconds: float) -> Completion | None:
        self.timeouts.append(timeout_seconds)
        return self.answers.pop(0)


def probed(teacher: ScriptedTeacher, settings: GatewaySettings = SETTINGS, waits: list[float] | None = None) -> Any:
    """What the probe cost in the end."""
    kept = [ProbeReport()]
    probe(teacher, settings, kept.append, [].append if waits is None else waits.append)
    return kept[-1]


def test_an_attempt_is_kept_before_it_leaves_as_if_nothing_more_were_heard_of_it() -> None:
    teacher = Probable(failed("unavailable"), ok("?", 9, 1))
    kept: list[tuple[int, int, ProbeReport]] = []
    probe(teacher, SETTINGS, lambda report: kept.append((len(teacher.timeouts), len(kept), report)), [].append)
    assert [asked for asked, _, _ in kept] == [0, 1, 1, 2]
    outcomes = [[entry.details["outcome"] for entry in report.entries if entry.kind == "query"] for *_, report in kept]
    assert outcomes == [["interrupted"], ["unavailable"], ["unavailable", "interrupted"], ["unavailable", "ok"]]
    held = kept[0][2].spent
    assert held == held_back(teacher, PROBE_PROMPT)
    assert kept[2][2].spent == total([kept[1][2].spent, held])


def test_a_teacher_that_answers_is_asked_once_and_that_is_counted() -> None:
    teacher = Probable(ok("?", 9, 1))
    report = probed(teacher)
    assert report.spent == Spending(1, 10, 0.011)
    assert {(entry.shop_id, entry.details["purpose"]) for entry in report.entries} == {(PROBE, "probe")}
    assert [entry.kind for entry in report.entries] == ["instruction", "query", "reply"]
    assert teacher.timeouts == [20.0]


@pytest.mark.parametrize("outcome", ["rate_limited", "malformed", "blocked"])
def test_whatever_talks_to_us_is_there(outcome: str) -> None:
    """A reply of one token is cut, and who asks to wait will answer later."""
    assert probed(Probable(failed(outcome))).spent.requests == 1


def test_what_may_pass_is_tried_once_more() -> None:
    waits: list[float] = []
    report = probed(Probable(failed("unavailable"), ok("?", 9, 1)), SETTINGS, waits)
    assert (report.spent.requests, waits) == (2, [3.0])
    for outcome in ("unavailable", "timeout"):
        with pytest.raises(UserError, match=rf"The teacher scripted gives no answer: {outcome}, scripted\. Nothing of"):
            probed(Probable(failed(outcome), failed(outcome)), SETTINGS, waits)


def test_a_refusal_is_an_error_at_once() -> None:
    with pytest.raises(UserError, match="no answer: error, scripted") as raised:
        probed(Probable(failed("error")))
    assert raised.value.exit_code == 2


def test_nothing_is_asked_of_teachers_of_this_process_of_others_that_have_no_probe_and_without_a_budget() -> None:
    local = Probable()
    local.remote = False
    none = GatewaySettings(max_requests=0)
    for teacher, settings in ((local, SETTINGS), (ScriptedTeacher(), SETTINGS), (Probable(), none)):
        assert probed(teacher, settings) == ProbeReport()
    assert probed(Probable(None)) == ProbeReport()
