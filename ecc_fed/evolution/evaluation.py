"""Answers and scores a shop's test pairs, before and after evolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.records import (
    AdapterState,
    Example,
    Likelihood,
    LikelihoodRequest,
    Pair,
    ReplyRequest,
)
from ecc_fed.core.rows import CloudCalls, EvaluationPhase, SampleRow, calls_of
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import ShopTruth, Truth
from ecc_fed.evolution.few_shots import few_shots
from ecc_fed.evolution.loop import ask_cloud, judge_replies
from ecc_fed.evolution.others_replies import others_replies
from ecc_fed.evolution.routing.router import Outcome, Router
from ecc_fed.evolution.routing.signals import signals_of
from ecc_fed.evolution.sample_rows import sample_row, taught_by
from ecc_fed.evolution.settings import LoopSettings, Services


def extra_pairs(shop_id: str, queries: Sequence[str]) -> tuple[Pair, ...]:
    """The extra queries as pairs of a shop, without context and without a human reply."""
    ids = [f"extra/{number}" for number in range(1, len(queries) + 1)]
    return tuple(Pair(name, name, shop_id, (), query, "") for name, query in zip(ids, queries, strict=True))


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One shop's evaluation."""

    rows: tuple[SampleRow, ...]
    calls: CloudCalls


def evaluate_pairs(
    pairs: Sequence[Pair],
    adapter: AdapterState | None,
    phase: EvaluationPhase,
    server_round: int,
    training: Sequence[Pair],
    truth: ShopTruth,
    settings: LoopSettings,
    services: Services,
    seed: int,
    outcomes: Sequence[Outcome] = (),
) -> Evaluated:
    """Rows of `samples.jsonl` for one shop's test pairs, and what they asked of the cloud.

    The cloud's few-shot examples are chosen from the shop's `training` pairs alike in every phase and arm, and
    the draws depend on `seed` alone, so that rows of two phases or arms are paired.

    Args:
        pairs: the shop's test pairs; empty gives no rows. Rows of `settings.evolution.extra_queries` follow
            theirs, marked as extra, without what needs a human reply; in the final phase others' replies to the test
            pairs follow.
        adapter: what answers; None is the bare base.
        phase: "base" or "final".
        server_round: for the records.
        training: all natural pairs the shop's device may learn from, in time order.
        truth: what is true of the shop's pairs, by which the replies are measured.
        settings: decoding and N.
        services: models and gateway.
        seed: the shop's evaluation seed, the same for both phases.
        outcomes: of the shop's replies on its stream, from which its router learns how sure to be of these.
    """
    if not pairs:
        return Evaluated((), CloudCalls())
    held_out = tuple(Example(pair.prompt, pair.reply) for pair in pairs)
    likelihoods: list[Likelihood | None] = [
        *services.end_model.likelihood([LikelihoodRequest(adapter, held_out)])[0],
        *[None for _ in settings.evolution.extra_queries],
    ]
    pairs = (*pairs, *extra_pairs(pairs[0].shop_id, settings.evolution.extra_queries))
    examples = few_shots(pairs, training, settings.evolution)
    cloud = ask_cloud(pairs, examples, "evaluate", server_round, services)
    request = ReplyRequest(adapter, tuple(pair.prompt for pair in pairs), settings.decoding, derive_seed(seed, "reply"))
    measured = services.end_model.measured_reply([request])[0]
    replies = [reply.text for reply in measured]
    signals = signals_of(pairs, [reply.margin for reply in measured], training)
    chances = Router(outcomes).chances(signals)
    judgements = judge_replies(pairs, replies, cloud, services)
    taught = taught_by(training, truth)
    chrf = CHRF()
    rows = [
        sample_row(
            pair,
            truth.get(pair.pair_id, Truth()),
            phase,
            server_round,
            reply,
            answer.text,
            taught,
            judgement=judgement,
            likelihood=likelihood,
            chrf=chrf.sentence_score(reply, [pair.reply]).score if likelihood else None,
            extra=likelihood is None,
            signals=signal,
            confidence=chance,
        )
        for pair, reply, answer, judgement, likelihood, signal, chance in zip(
            pairs, replies, cloud, judgements, likelihoods, signals, chances, strict=True
        )
    ]
    if phase == "final":
        rows += others_replies(
            pairs[: len(held_out)], cloud[: len(held_out)], server_round, truth, taught, services, seed
        )
    return Evaluated(tuple(rows), calls_of(cloud))
