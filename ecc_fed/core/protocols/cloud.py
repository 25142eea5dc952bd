"""The cloud: the model that answers, and the way to it that a device knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.records import TeacherReply, TeacherRequest


class Teacher(Protocol):
    """A large cloud model. The gateway alone calls it, from several threads at once."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def model(self) -> str:
        """Model id: part of the cache's key."""
        ...

    @property
    def decoding(self) -> Mapping[str, str | int | float]:
        """Whatever else decides the reply (temperature, seed, ...): part of the cache's key."""
        ...

    @property
    def remote(self) -> bool:
        """Whether prompts leave this process: such a call may be billed although its answer never comes."""
        ...

    @property
    def max_batch(self) -> int:
        """Prompts that one call takes; 1 where the provider answers one at a time."""
        ...

    @property
    def max_output_tokens(self) -> int:
        """The longest reply, which a budget holds back before a call."""
        ...

    @property
    def input_usd_per_million_tokens(self) -> float:
        """Price of what is sent."""
        ...

    @property
    def output_usd_per_million_tokens(self) -> float:
        """Price of what comes back."""
        ...

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """One completion for every prompt, in order; one attempt, no retries.

        Failures are outcomes ("rate_limited", "unavailable" and "timeout" are tried again); what is
        raised all the same counts as outcome "error". A call should end within
        `timeout_seconds`, which the gateway enforces by giving it up.
        """
        ...


class TeacherGateway(Protocol):
    """The cloud as a device sees it. `answer` returns an outcome for every request and never raises for one."""

    name: str

    def answer(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply for every request, in order."""
        ...
