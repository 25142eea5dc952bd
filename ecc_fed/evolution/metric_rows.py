"""What a shop did in one cycle, as a row of `metrics.jsonl`."""

from __future__ import annotations

from ecc_fed.core.records import TeacherReply
from ecc_fed.core.rows import MetricRow, ServedFacts, redaction_of
from ecc_fed.evolution.loop import Learned, Served


def metric_row(
    shop_id: str,
    server_round: int,
    cycle: int,
    served: Served,
    learned: Learned,
    num_natural: int,
    joined: int,
    facts: ServedFacts | None = None,
) -> MetricRow:
    """The row of one cycle; `num_natural` pairs of its part of the stream a human agent answered as well.

    `joined` is the first server round that the shop lived.
    """
    scores = [judgement.final_score for judgement in served.judgements if judgement is not None]
    asked: list[TeacherReply] = [answer for answer in served.cloud if answer is not None]
    return MetricRow(
        server_round=server_round,
        cycle=cycle,
        shop_id=shop_id,
        split="stream",
        served=len(served.replies),
        escalated=served.escalated,
        unhappy=sum(verdict is not None and not verdict.satisfied for verdict in served.feedback),
        mean_score=sum(scores) / len(scores) if scores else None,
        pseudo_labels=len(served.pseudo_labels),
        natural_pairs=num_natural,
        train_loss=sum(learned.losses) / len(learned.losses) if learned.losses else None,
        steps=len(learned.losses),
        teacher_requests=len(asked),
        teacher_cached=sum(answer.cached for answer in asked),
        teacher_failed=sum(answer.text is None for answer in asked),
        teacher_errors=tuple(sorted({f"{reply.outcome}: {reply.detail}" for reply in asked if reply.text is None})),
        input_tokens=sum(answer.input_tokens for answer in asked if not answer.cached),
        output_tokens=sum(answer.output_tokens for answer in asked if not answer.cached),
        cost_usd=sum(answer.cost_usd for answer in asked if not answer.cached),
        serve_seconds=served.seconds,
        train_seconds=learned.seconds,
        rounds_since_joining=server_round - joined,
        facts=facts,
        redaction=redaction_of(asked),
    )
