"""One small call before a run: a teacher that is not there, or is not what the settings say, is found at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ecc_fed.core.completion import Completion
from ecc_fed.core.errors import BudgetExceeded, UserError
from ecc_fed.core.protocols import Teacher
from ecc_fed.core.records import EgressEntry, Outcome, TeacherRequest
from ecc_fed.teacher.gateway.booking import booked, held_back
from ecc_fed.teacher.gateway.budget import NOTHING, Spending, total
from ecc_fed.teacher.gateway.egress import egress_entries
from ecc_fed.teacher.gateway.sending import Call
from ecc_fed.teacher.gateway.settings import GatewaySettings
from ecc_fed.teacher.prompts import PROBE_PROMPT

# Whose the probe's bytes are: no shop's.
PROBE = "(probe)"
# Who is turned away for a while is talking to a teacher all the same.
_DEAD: frozenset[Outcome] = frozenset({"error", "unavailable", "timeout"})
_PASSING: frozenset[Outcome] = frozenset({"unavailable", "timeout"})
_LONGEST_SECONDS = 20.0


@runtime_checkable
class Probed(Protocol):
    """A teacher that can be asked for next to nothing."""

    def probe(self, timeout_seconds: float) -> Completion | None:
        """What came of a reply of one token; None where nothing is to be sent."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the probe cost, and its part of the ledger."""

    spent: Spending = NOTHING
    entries: tuple[EgressEntry, ...] = ()


# Keeps what a probe has cost so far.
KeepProbe = Callable[[ProbeReport], None]


def probe(
    teacher: Teacher, settings: GatewaySettings, keep: KeepProbe, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Asks a remote teacher for one token; a second time where the first attempt's fault may pass.

    A teacher that cannot be probed, or not within the budget, is not.

    Args:
        teacher: whom.
        settings: the budget's, and how long to wait.
        keep: called with all attempts so far, before one leaves (it then counts as interrupted, with what is held
            back for it) and once it is back.
        sleep: waits for a number of seconds.

    Raises:
        UserError: it does not answer, or refuses what it is asked; names the reason and what to do.
    """
    if not teacher.remote or not isinstance(teacher, Probed):
        return
    prompt, budget = PROBE_PROMPT, settings.budget()
    request, call = TeacherRequest(PROBE, prompt.turns, (), "probe"), Call("probe", prompt)
    spent: list[Spending] = []
    entries: list[EgressEntry] = []
    for attempt in (1, 2):
        try:
            budget.reserve(held_back(teacher, prompt))
        except BudgetExceeded:
            break
        under_way = egress_entries(request, call, attempt, None, teacher.model, "none")
        keep(ProbeReport(total([*spent, held_back(teacher, prompt)]), (*entries, *under_way)))
        answered = teacher.probe(min(settings.timeout_seconds, _LONGEST_SECONDS))
        if answered is None:
            keep(ProbeReport(total(spent), tuple(entries)))
            break
        completion = booked(teacher, prompt, answered)
        spent.append(Spending(1, completion.input_tokens + completion.output_tokens, completion.cost_usd or 0.0))
        budget.settle(held_back(teacher, prompt), spent[-1])
        entries += egress_entries(request, call, attempt, completion, teacher.model, "none")
        keep(ProbeReport(total(spent), tuple(entries)))
        if completion.outcome not in _DEAD:
            break
        if attempt == 2 or completion.outcome not in _PASSING:
            raise UserError(
                f"The teacher {teacher.name} gives no answer: {completion.outcome}, {completion.detail}. Nothing of a "
                "shop was sent to it. See to it that it is there and check the settings of teacher, or choose "
                "another one"
            )
        sleep(settings.first_delay_seconds)
