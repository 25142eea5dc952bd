"""Answers and scores a shop's test pairs, before and after evolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.records import (
    AdapterState,
    Asked,
    FromCloud,
    Likelihood,
    Pair,
    TeacherReply,
)
from ecc_fed.core.rows import CloudCalls, EvaluationPhase, SampleRow, calls_of
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import ShopTruth, Truth
from ecc_fed.evolution.answering.model import ModelAlone
from ecc_fed.evolution.answering.replies import likelihoods_of, reply_to
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.loop import ask_cloud_where, judge_replies
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
    experience: Experience = Experience(),  # noqa: B008 (frozen)
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
        experience: what the shop may answer from in the final phase.
    """
    if not pairs:
        return Evaluated((), CloudCalls())
    num_test, humans = len(pairs), [pair.reply for pair in pairs]
    pairs = (*pairs, *extra_pairs(pairs[0].shop_id, settings.evolution.extra_queries))
    # The bare base is the same in every arm.
    answering = ModelAlone() if phase == "base" else services.answering
    prepared = answering.prepare([Asked(pair.prompt, pair.pair_id) for pair in pairs], experience.known())
    by_cloud = [isinstance(each, FromCloud) for each in prepared]
    scored = services.scoring.withheld is None  # else nobody asks for a reference
    cloud: list[TeacherReply | None] = [None] * len(pairs)
    if scored or any(by_cloud):
        asked = [scored or own for own in by_cloud]
        cloud = ask_cloud_where(asked, pairs, training, "evaluate", server_round, settings, services)
    likelihoods: list[Likelihood | None] = [
        *likelihoods_of(prepared[:num_test], humans, adapter, services.end_model),
        *[None for _ in settings.evolution.extra_queries],
    ]
    draws = derive_seed(seed, "reply")
    answered = reply_to(prepared, adapter, settings.decoding, services.end_model, draws, cloud)
    replies = [reply.text for reply in answered]
    signals = signals_of(pairs, [reply.margin for reply in answered], training)
    chances = Router(outcomes).chances(signals)
    # The cloud's own reply is not held against itself.
    references = [None if own else answer for own, answer in zip(by_cloud, cloud, strict=True)]
    judgements = judge_replies(pairs, replies, references, services)
    taught = taught_by(training, truth)
    chrf = CHRF()
    rows = [
        sample_row(
            pair,
            truth.get(pair.pair_id, Truth()),
            phase,
            server_round,
            reply,
            None if answer is None else answer.text,
            taught,
            judgement=judgement,
            likelihood=likelihood,
            chrf=chrf.sentence_score(reply, [pair.reply]).score if number < num_test else None,
            extra=number >= num_test,
            signals=signal,
            confidence=chance,
        )
        for number, (pair, reply, answer, judgement, likelihood, signal, chance) in enumerate(
            zip(pairs, replies, cloud, judgements, likelihoods, signals, chances, strict=True)
        )
    ]
    if phase == "final":
        rows += others_replies(pairs[:num_test], cloud[:num_test], server_round, truth, taught, services, seed)
    return Evaluated(tuple(rows), calls_of([answer for answer in cloud if answer is not None]))
