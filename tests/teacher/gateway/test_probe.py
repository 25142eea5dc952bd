import pytest

from ecc_fed.core.completion import Completion
from ecc_fed.core.errors import UserError
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.probe import PROBE, ProbeReport, probe
from ecc_fed.teacher.gateway.settings import GatewaySettings

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


def test_a_teacher_that_answers_is_asked_once_and_that_is_counted() -> None:
    teacher = Probable(ok("?", 9, 1))
    report = probe(teacher, SETTINGS)
    assert report.spent == Spending(1, 10, 0.011)
    assert {(entry.shop_id, entry.details["purpose"]) for entry in report.entries} == {(PROBE, "probe")}
    assert [entry.kind for entry in report.entries] == ["instruction", "query", "reply"]
    assert teacher.timeouts == [20.0]


@pytest.mark.parametrize("outcome", ["rate_limited", "malformed", "blocked"])
def test_whatever_talks_to_us_is_there(outcome: str) -> None:
    """A reply of one token is cut, and who asks to wait will answer later."""
    assert probe(Probable(failed(outcome)), SETTINGS).spent.requests == 1


def test_what_may_pass_is_tried_once_more() -> None:
    waits: list[float] = []
    report = probe(Probable(failed("unavailable"), ok("?", 9, 1)), SETTINGS, waits.append)
    assert (report.spent.requests, waits) == (2, [3.0])
    for outcome in ("unavailable", "timeout"):
        with pytest.raises(UserError, match=rf"The teacher scripted gives no answer: {outcome}, scripted\. Nothing of"):
            probe(Probable(failed(outcome), failed(outcome)), SETTINGS, waits.append)


def test_a_refusal_is_an_error_at_once() -> None:
    with pytest.raises(UserError, match="no answer: error, scripted") as raised:
        probe(Probable(failed("error")), SETTINGS)
    assert raised.value.exit_code == 2


def test_nothing_is_asked_of_teachers_of_this_process_of_others_that_have_no_probe_and_without_a_budget() -> None:
    local = Probable()
    local.remote = False
    none = GatewaySettings(max_requests=0)
    for teacher, settings in ((local, SETTINGS), (ScriptedTeacher(), SETTINGS), (Probable(), none)):
        assert probe(teacher, settings) == ProbeReport()
    assert probe(Probable(None), SETTINGS) == ProbeReport()
