"""Answers and scores a shop's test pairs; one row a pair, facts checked without any judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.facts import competing_values, states_fact
from ecc_fed.core.records import (
    AdapterState,
    Example,
    Judgement,
    Likelihood,
    LikelihoodRequest,
    Pair,
    ReplyRequest,
    TeacherReply,
)
from ecc_fed.core.rows import CloudCalls, FactRow, Phase, SampleRow, calls_of
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Fact, ShopTruth, Truth
from ecc_fed.evolution.loop import ask_cloud, judge_replies, last
from ecc_fed.evolution.settings import LoopSettings, Services


def taught_values(training: Sequence[Pair], truth: ShopTruth) -> frozenset[tuple[str, tuple[str, ...]]]:
    """(key, accepted forms) of every fact that some training dialogue of the shop states."""
    known = [truth[pair.pair_id] for pair in training if pair.pair_id in truth]
    return frozenset((fact.key, fact.accepted) for about in known for fact in about.facts)


def _fact_row(fact: Fact, reply: str, seen: bool) -> FactRow:
    return FactRow(
        key=fact.key,
        kind=fact.kind,
        scope=fact.scope,
        accepted=fact.accepted,
        seen=seen,
        stated=states_fact(reply, fact),
        competing_stated=tuple(competing_values(reply, fact)),
        other_shop=(),
    )


def extra_pairs(shop_id: str, queries: Sequence[str]) -> tuple[Pair, ...]:
    """The extra queries as pairs of a shop, without context and without a human reply."""
    ids = [f"extra/{number}" for number in range(1, len(queries) + 1)]
    return tuple(Pair(name, name, shop_id, (), query, "") for name, query in zip(ids, queries, strict=True))


def _row(
    pair: Pair,
    about: Truth,
    phase: Phase,
    server_round: int,
    reply: str,
    cloud: TeacherReply,
    judgement: Judgement | None,
    likelihood: Likelihood | None,
    training_replies: frozenset[str],
    taught: frozenset[tuple[str, tuple[str, ...]]],
    chrf: CHRF,
) -> SampleRow:
    return SampleRow(
        shop_id=pair.shop_id,
        pair_id=pair.pair_id,
        phase=phase,
        extra=likelihood is None,
        server_round=server_round,
        context=pair.context,
        query=pair.query,
        reference=pair.reply,
        reply=reply,
        cloud_reply=cloud.text,
        intent=about.intent,
        form_id=about.form_id,
        similarity=judgement.similarity if judgement else None,
        relevance=judgement.relevance if judgement else None,
        cloud_relevance=judgement.cloud_relevance if judgement else None,
        final_score=judgement.final_score if judgement else None,
        relevance_trusted=judgement.relevance_trusted if judgement else None,
        accepted=judgement.accepted if judgement else None,
        facts=tuple(_fact_row(fact, reply, (fact.key, fact.accepted) in taught) for fact in about.facts),
        chrf=chrf.sentence_score(reply, [pair.reply]).score if likelihood else None,
        verbatim=reply in training_replies,
        nll_nats=likelihood.nll_nats if likelihood else None,
        label_tokens=likelihood.label_tokens if likelihood else None,
        characters=likelihood.characters if likelihood else None,
    )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One shop's evaluation."""

    rows: tuple[SampleRow, ...]
    calls: CloudCalls


def evaluate_pairs(
    pairs: Sequence[Pair],
    adapter: AdapterState | None,
    phase: Phase,
    server_round: int,
    training: Sequence[Pair],
    truth: ShopTruth,
    settings: LoopSettings,
    services: Services,
    seed: int,
) -> Evaluated:
    """Rows of `samples.jsonl` for one shop's test pairs, and what they asked of the cloud.

    The cloud's few-shot examples are the shop's latest `training` pairs in every phase and arm, and
    the draws depend on `seed` alone, so that rows of two phases or arms are paired.

    Args:
        pairs: the shop's test pairs; empty gives no rows. Rows of `settings.evolution.extra_queries` follow
            theirs, marked as extra, without what needs a human reply.
        adapter: what answers; None is the bare base.
        phase: "base" or "final".
        server_round: for the records.
        training: all natural pairs the shop's device may learn from, in time order.
        truth: what is true of the shop's pairs, by which the replies are measured.
        settings: decoding and N.
        services: models and gateway.
        seed: the shop's evaluation seed, the same for both phases.
    """
    if not pairs:
        return Evaluated((), CloudCalls())
    held_out = tuple(Example(pair.prompt, pair.reply) for pair in pairs)
    likelihoods: list[Likelihood | None] = [
        *services.end_model.likelihood([LikelihoodRequest(adapter, held_out)])[0],
        *[None for _ in settings.evolution.extra_queries],
    ]
    pairs = (*pairs, *extra_pairs(pairs[0].shop_id, settings.evolution.extra_queries))
    examples = last(training, settings.evolution.teacher_examples)
    cloud = ask_cloud(pairs, examples, "evaluate", server_round, services)
    request = ReplyRequest(adapter, tuple(pair.prompt for pair in pairs), settings.decoding, derive_seed(seed, "reply"))
    replies = services.end_model.reply([request])[0]
    judgements = judge_replies(pairs, replies, cloud, services)
    training_replies = frozenset(pair.reply for pair in training)
    taught = taught_values(training, truth)
    chrf = CHRF()
    rows = tuple(
        _row(
            pair,
            truth.get(pair.pair_id, Truth()),
            phase,
            server_round,
            reply,
            answer,
            judgement,
            likelihood,
            training_replies,
            taught,
            chrf,
        )
        for pair, reply, answer, judgement, likelihood in zip(
            pairs, replies, cloud, judgements, likelihoods, strict=True
        )
    )
    return Evaluated(rows, calls_of(cloud))
