"""What a cloud model must offer to stand behind the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ecc_fed.core.records import Outcome
from ecc_fed.teacher.prompts import TeacherPrompt


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of one attempt at one prompt; `text` is None whenever `outcome` is not "ok".

    `retry_after_seconds` is the server's own wish before another attempt. `latency_seconds` is
    declared by simulated models; None lets the gateway measure. Token counts are the provider's.
    `cost_usd` is stated where the provider discounts a part of the prompt (its own prompt cache);
    None prices all tokens at the backend's rates.
    """

    text: str | None
    outcome: Outcome
    model_version: str
    input_tokens: int = 0
    output_tokens: int = 0
    latency_seconds: float | None = None
    retry_after_seconds: float | None = None
    detail: str = ""
    cost_usd: float | None = None


class Backend(Protocol):
    """One cloud model. Called from several threads at once, never with more than `max_batch` prompts."""

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


def cost_usd(backend: Backend, input_tokens: int, output_tokens: int) -> float:
    """Price of a call in US dollars."""
    return (
        input_tokens * backend.input_usd_per_million_tokens + output_tokens * backend.output_usd_per_million_tokens
    ) / 1e6


def cost_of_attempt(backend: Backend, completion: Completion) -> float:
    """What one attempt cost in US dollars: as its completion states, else by the backend's rates."""
    if completion.cost_usd is not None:
        return completion.cost_usd
    return cost_usd(backend, completion.input_tokens, completion.output_tokens)
