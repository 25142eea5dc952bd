"""A row of `metrics.jsonl`: what a shop did in one cycle of a server round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ecc_fed.core.records import RedactionCounts
from ecc_fed.core.rows.served_facts import ServedFacts


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One cycle of one shop, or its warm start, which serves nobody: round 0, split "warm_start".

    Attributes:
        served, escalated, unhappy: queries answered, those that went to the cloud, and those whose
            customer was not content.
        mean_score: of the replies that were judged; None where none was.
        pseudo_labels, natural_pairs: what the shop's experience gained.
        train_loss: mean over the steps, in nats a token; None where there was no step.
        teacher_requests, teacher_cached, teacher_failed, teacher_errors: what was asked of the cloud.
        input_tokens, output_tokens, cost_usd: without what the cache answered.
        rounds_since_joining: server rounds since the first that the shop lived, which is 0; those that it missed count.
        facts: how right the replies were, before the shop learned from their queries; None in older files and where
            nothing is known to be true.
        epsilon: what all training of the shop so far has cost under differential privacy; None where it is plain.
        redaction: what it did on the way to the cloud and back.
    """

    server_round: int
    cycle: int
    shop_id: str
    split: Literal["stream", "warm_start"]
    served: int
    escalated: int
    unhappy: int
    mean_score: float | None
    pseudo_labels: int
    natural_pairs: int
    train_loss: float | None
    steps: int
    teacher_requests: int
    teacher_cached: int
    teacher_failed: int
    teacher_errors: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    cost_usd: float
    serve_seconds: float
    train_seconds: float
    rounds_since_joining: int = 0
    facts: ServedFacts | None = None
    epsilon: float | None = None
    redaction: RedactionCounts = field(default_factory=RedactionCounts)
