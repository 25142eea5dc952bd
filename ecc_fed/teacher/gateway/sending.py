"""Sends prompts to a teacher: in parallel, with a deadline and retries, in waves.

A wave sends every open call once and ends when all are back. Budget and ledger are dealt with
between waves in the order of the calls, so neither depends on thread timing.

An attempt that was made before, in work that was cut and is done again, is taken as it ended then: it is
not sent, and the budget holds it already.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.errors import BudgetExceeded, EccError
from ecc_fed.core.heartbeat import beat
from ecc_fed.core.protocols import Teacher
from ecc_fed.teacher.gateway.booking import booked, held_back
from ecc_fed.teacher.gateway.budget import Budget, Spending
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.prompts import one_line

# No vocabulary's tokens are longer on average; a longer reply is of a server that knows no limit.
CHARACTERS_PER_TOKEN = 16

_GRACE = 1.25

AfterAttempt = Callable[[list[tuple["Call", Completion]]], None]


@dataclass
class Call:
    """One prompt on its way: what it used so far, and how it ended."""

    key: str
    prompt: TeacherPrompt
    attempts: int = 0
    delay_seconds: float = 0.0
    latency_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    completion: Completion | None = None
    phase: str = ""
    recorded: deque[Completion] = field(default_factory=deque)


class Log(Protocol):
    """Hears of attempts as they happen, from several threads at once."""

    def before(self, calls: Sequence[Call]) -> None:
        """The calls' next attempts are about to leave; what is raised keeps them from it."""
        ...

    def after(self, calls: Sequence[Call], completions: Sequence[Completion]) -> None:
        """The attempts are back."""
        ...


@dataclass(frozen=True)
class _Back:
    """What came of one batch; `sent` are the calls of it that were not taken from a record."""

    completions: list[Completion]
    sent: list[Call]
    failure: EccError | None = None


class Sender:
    """Brings calls to their end. `after_attempt` hears of every attempt, in the order of the calls."""

    def __init__(
        self,
        teacher: Teacher,
        budget: Budget,
        retry: RetryPolicy,
        timeout_seconds: float,
        max_parallel: int,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self._teacher = teacher
        self._budget = budget
        self._retry = retry
        self._timeout_seconds = timeout_seconds
        self._max_parallel = max_parallel
        self._sleep = sleep
        self._clock = clock

    def send(self, calls: Sequence[Call], log: Log, after_attempt: AfterAttempt) -> None:
        """Gives every call its final `completion`; refused by the budget is one too.

        Raises:
            EccError: from `log` or `after_attempt`, once what was under way is back.
        """
        open_calls = list(calls)
        while open_calls:
            wave, refusal = self._within_budget(open_calls)
            if not wave:
                for call in open_calls:
                    earlier = f"; attempt {call.attempts}: {_reason(call)}" if call.attempts else ""
                    call.completion = Completion(None, "budget", "", detail=f"{refusal}{earlier}")
                return
            self._wave(wave, log, after_attempt)
            again = [call for call in wave if self._goes_on(call)]
            open_calls = again + open_calls[len(wave) :]

    def _goes_on(self, call: Call) -> bool:
        """Whether the call is tried again; its wait is noted down."""
        ended = call.completion
        if ended is None:
            return False
        delay = self._retry.delay_seconds(ended.outcome, call.attempts, call.key, ended.retry_after_seconds)
        call.delay_seconds = delay or 0.0
        return delay is not None

    def _within_budget(self, calls: Sequence[Call]) -> tuple[list[Call], str]:
        """The first calls that the budget covers, and why the next is refused."""
        for position, call in enumerate(calls):
            if call.recorded:
                continue
            try:
                self._budget.reserve(held_back(self._teacher, call.prompt), call.phase)
            except BudgetExceeded as refusal:
                return list(calls[:position]), str(refusal)
        return list(calls), ""

    def _settle(self, call: Call, completion: Completion, sent: bool) -> None:
        beat()
        cost = completion.cost_usd or 0.0
        if sent:
            used = Spending(1, completion.input_tokens + completion.output_tokens, cost)
            self._budget.settle(held_back(self._teacher, call.prompt), used, call.phase)
        call.attempts += 1
        call.cost_usd += cost
        call.completion = completion
        call.input_tokens += completion.input_tokens
        call.output_tokens += completion.output_tokens
        call.latency_seconds += call.delay_seconds + (completion.latency_seconds or 0.0)

    def _wave(self, calls: Sequence[Call], log: Log, after_attempt: AfterAttempt) -> None:
        """One attempt for every call, in batches of the teacher's size, `max_parallel` batches at a time.

        Each batch is settled as soon as it and all before it are back, so that a run that is
        killed keeps most of what it paid for.
        """
        size = max(1, self._teacher.max_batch)
        batches = [calls[start : start + size] for start in range(0, len(calls), size)]
        pool = ThreadPoolExecutor(min(self._max_parallel, len(batches)), thread_name_prefix="teacher")
        failure: EccError | None = None
        ending = threading.Event()

        def attempt(batch: Sequence[Call]) -> _Back:
            if ending.is_set():
                return _Back([], [])
            try:
                return self._attempt(batch, log)
            except BaseException:  # whatever it is, nothing more leaves
                ending.set()
                raise

        try:
            for batch, back in zip(batches, pool.map(attempt, batches), strict=True):
                failure = failure or back.failure
                if not back.completions:
                    continue
                sent = {id(call) for call in back.sent}
                for call, completion in zip(batch, back.completions, strict=True):
                    self._settle(call, completion, id(call) in sent)
                try:
                    after_attempt(list(zip(batch, back.completions, strict=True)))
                except EccError as error:
                    # The rest of the wave is on its way already: it must reach the ledger all the same.
                    failure = failure or error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if failure is not None:
            raise failure

    def _attempt(self, calls: Sequence[Call], log: Log) -> _Back:
        """The next attempt of every call; no completions where `log` keeps them from leaving."""
        fresh = [call for call in calls if not call.recorded]
        made: list[Completion] = []
        failure: EccError | None = None
        if fresh:
            try:
                log.before(fresh)
            except EccError as error:
                return _Back([], fresh, error)
            made = self._made(fresh)
            try:
                log.after(fresh, made)
            except EccError as error:
                failure = error
        answers = iter(made)
        return _Back([c.recorded.popleft() if c.recorded else next(answers) for c in calls], fresh, failure)

    def _made(self, calls: Sequence[Call]) -> list[Completion]:
        delay = max(call.delay_seconds for call in calls)
        if delay > 0:
            self._sleep(delay)
        started = self._clock()
        completions = self._complete_in_time([call.prompt for call in calls])
        measured = self._clock() - started
        return [
            booked(
                self._teacher,
                call.prompt,
                completion if completion.latency_seconds is not None else replace(completion, latency_seconds=measured),
            )
            for call, completion in zip(calls, completions, strict=True)
        ]

    def _complete_in_time(self, prompts: list[TeacherPrompt]) -> list[Completion]:
        """The teacher's completions, or one failure for all. A batch of n gets n time-outs' time.

        A thread cannot be stopped: a teacher that outstays its deadline is left behind in a
        daemon thread and whatever it says later is not heard.
        """
        deadline_seconds = self._timeout_seconds * len(prompts)
        box: list[list[Completion] | BaseException] = []

        def work() -> None:
            try:
                box.append(
                    [
                        _checked(completion, self._teacher.max_output_tokens)
                        for completion in self._teacher.complete(prompts, self._timeout_seconds)
                    ]
                )
            except BaseException as error:
                box.append(error)

        thread = threading.Thread(target=work, daemon=True, name="teacher-call")
        thread.start()
        # A little longer, for a teacher that keeps its own time knows best what became of the call.
        thread.join(deadline_seconds * _GRACE)
        if not box:
            failure = Completion(None, "timeout", "", detail=f"no answer within {deadline_seconds:g} s")
        elif isinstance(box[0], BaseException):
            if not isinstance(box[0], Exception):  # not the teacher's failure: the process is to end
                raise box[0]
            said = one_line(f"{type(box[0]).__name__}: {box[0]}")
            failure = Completion(None, "error", "", detail=said, usage_known=not self._teacher.remote)
        elif len(box[0]) != len(prompts):
            said = f"{len(box[0])} completions for {len(prompts)} prompts"
            failure = Completion(None, "error", "", detail=said, usage_known=not self._teacher.remote)
        else:
            return box[0]
        return [failure] * len(prompts)


def _checked(completion: Completion, max_output_tokens: int) -> Completion:
    """Holds a teacher to its word: "ok" has text of no more than it was asked for, nothing else has any."""
    if completion.outcome != "ok":
        return replace(completion, text=None)
    # A reply cut in the middle of a character ends before it.
    text = (completion.text or "").replace("\ufffd", "").encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        return replace(completion, text=None, outcome="malformed", detail="the reply is empty")
    if len(text) > CHARACTERS_PER_TOKEN * max_output_tokens:
        said = f"the reply has {len(text):,} characters, too many for {max_output_tokens} tokens"
        return replace(completion, text=None, outcome="malformed", detail=said)
    return replace(completion, text=text)


def _reason(call: Call) -> str:
    completion = call.completion
    return "" if completion is None else " ".join(filter(None, (completion.outcome, completion.detail)))
