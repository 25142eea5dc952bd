"""What is asked of the cloud, what it answers, and what is learned from that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ecc_fed.core.records.dialogues import OrderRecord, Turn
from ecc_fed.core.records.redaction import RedactionCounts


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """One question to the cloud. `examples` are the N few-shot (question, answer) pairs of Table II, oldest first.

    `customer` is what the device knows of whoever asks, `example_customers[i]` of the customer of
    example i (empty: nothing known of any), so that redaction finds both.
    """

    shop_id: str
    turns: tuple[Turn, ...]
    examples: tuple[tuple[str, str], ...]
    purpose: Literal["judge", "pseudo_label", "serve", "evaluate", "distill", "probe"]
    customer: OrderRecord | None = None
    server_round: int = 0
    example_customers: tuple[OrderRecord | None, ...] = ()


# "refused": the device itself, of a reply that holds another customer's value.
Outcome = Literal["ok", "blocked", "rate_limited", "unavailable", "timeout", "malformed", "budget", "error", "refused"]


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """The cloud's answer; `text` is None whenever `outcome` is not "ok", and `detail` says why."""

    text: str | None
    outcome: Outcome
    model_version: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_seconds: float = 0.0
    cached: bool = False
    detail: str = ""
    redaction: RedactionCounts = field(default_factory=RedactionCounts)


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """A cloud reply that became a training target."""

    pair_id: str
    prompt: tuple[Turn, ...]
    reply: str
    model_version: str
    reason: Literal["low_score", "unhappy_customer", "distilled"]
    server_round: int
