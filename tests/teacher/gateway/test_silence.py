"""A teacher that dies is found out once, not by every call of the run."""

from __future__ import annotations

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.privacy.redaction import NoRedaction
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.settings import GatewaySettings
from ecc_fed.teacher.gateway.silence import GONE_AFTER

from ..fakes import ScriptedTeacher, failed, request

TWICE = RetryPolicy(max_attempts=2, first_delay_seconds=0.0)


class Mortal(ScriptedTeacher):
    """Answers as `says` tells; None is well."""

    says: Completion | None = None

    def __init__(self) -> None:
        super().__init__(lambda prompt, attempt: self.says)


def answer(cloud: Gateway, start: int, count: int) -> list[str]:
    return [reply.outcome for reply in cloud.answer([request(f"问{start + i}") for i in range(count)])]


def gateway(teacher: ScriptedTeacher) -> Gateway:
    return Gateway(
        teacher, MemoryLedger(), NoRedaction(), GatewaySettings(max_parallel=1), retry=TWICE, sleep=lambda _: None
    )


def test_one_call_asks_whether_a_teacher_that_fell_silent_is_back() -> None:
    teacher = Mortal()
    cloud = gateway(teacher)
    assert answer(cloud, 0, 2) == ["ok", "ok"]
    teacher.says = failed("unavailable")
    assert answer(cloud, 10, GONE_AFTER) == ["unavailable"] * GONE_AFTER
    teacher.sent.clear()
    refused = cloud.answer([request(f"问{number}") for number in range(20, 40)])
    assert {reply.outcome for reply in refused} == {"unavailable"}
    assert len(teacher.sent) == 2, "both attempts of the first call alone"
    assert refused[0].detail == "scripted; 2 attempts"
    assert refused[1].detail == (
        f"not asked: the teacher was silent for {GONE_AFTER + 1} calls in a row, at last with unavailable: scripted"
    )
    teacher.says = None
    assert answer(cloud, 40, 5) == ["ok"] * 5, "it is back, and so are all calls"
    assert len(teacher.sent) == 2 + 5


def test_what_is_heard_is_no_silence() -> None:
    for outcome in ("rate_limited", "blocked", "malformed", "error"):
        teacher = Mortal()
        cloud = gateway(teacher)
        teacher.says = failed(outcome)
        answer(cloud, 0, GONE_AFTER)
        teacher.sent.clear()
        answer(cloud, 20, 3)
        assert len(set(teacher.sent)) == 3


def test_only_calls_in_a_row_make_a_silence() -> None:
    def script(prompt: TeacherPrompt, attempt: int) -> Completion | None:
        return None if prompt.turns[-1].text.endswith("7") else failed("timeout")

    teacher = ScriptedTeacher(script)
    cloud = gateway(teacher)
    assert answer(cloud, 1, GONE_AFTER).count("ok") == 1
    teacher.sent.clear()
    answer(cloud, 21, 3)
    assert len(set(teacher.sent)) == 3
    answer(cloud, 31, 3), answer(cloud, 41, 3)
    teacher.sent.clear()
    answer(cloud, 51, 3)
    assert len(set(teacher.sent)) == 1
