"""A reply as a row of `samples.jsonl`: facts checked without any judge, and what the shop was taught of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.facts import competing_values, states_fact
from ecc_fed.core.records import Judgement, Likelihood, Pair
from ecc_fed.core.rows import FactRow, Phase, SampleRow, Signals
from ecc_fed.core.truth import Fact, ShopTruth, Truth


@dataclass(frozen=True, slots=True)
class Taught:
    """What a shop's training pairs hold: their replies, and how many state a fact, by (key, accepted forms)."""

    replies: frozenset[str]
    facts: Mapping[tuple[str, tuple[str, ...]], int]


def taught_by(training: Sequence[Pair], truth: ShopTruth) -> Taught:
    """What these pairs of a shop teach; a pair counts once for each fact and value that it states."""
    known = [truth[pair.pair_id] for pair in training if pair.pair_id in truth]
    counts = Counter(stated for about in known for stated in {(fact.key, fact.accepted) for fact in about.facts})
    return Taught(frozenset(pair.reply for pair in training), counts)


def _fact_row(fact: Fact, reply: str, day: float, taught: Taught) -> FactRow:
    times = taught.facts.get((fact.key, fact.accepted), 0)
    return FactRow(
        key=fact.key,
        kind=fact.kind,
        scope=fact.scope,
        accepted=fact.accepted,
        seen=times > 0,
        stated=states_fact(reply, fact),
        competing_stated=tuple(competing_values(reply, fact)),
        other_shop=(),
        taught=times,
        days_since_change=None if fact.since is None else day - fact.since,
    )


def sample_row(
    pair: Pair,
    about: Truth,
    phase: Phase,
    server_round: int,
    reply: str,
    cloud_reply: str | None,
    taught: Taught,
    *,
    judgement: Judgement | None = None,
    likelihood: Likelihood | None = None,
    chrf: float | None = None,
    extra: bool = False,
    signals: Signals | None = None,
    confidence: float | None = None,
) -> SampleRow:
    """The row of one reply to a pair's query; `about` holds the facts that the reply is measured by."""
    day = float(math.floor(pair.position))
    return SampleRow(
        shop_id=pair.shop_id,
        pair_id=pair.pair_id,
        session_id=pair.session_id,
        phase=phase,
        extra=extra,
        server_round=server_round,
        context=pair.context,
        query=pair.query,
        reference=pair.reply,
        reply=reply,
        cloud_reply=cloud_reply,
        intent=about.intent,
        form_id=about.form_id,
        similarity=judgement.similarity if judgement else None,
        relevance=judgement.relevance if judgement else None,
        cloud_relevance=judgement.cloud_relevance if judgement else None,
        final_score=judgement.final_score if judgement else None,
        relevance_trusted=judgement.relevance_trusted if judgement else None,
        accepted=judgement.accepted if judgement else None,
        facts=tuple(_fact_row(fact, reply, day, taught) for fact in about.facts),
        chrf=chrf,
        verbatim=reply in taught.replies,
        nll_nats=likelihood.nll_nats if likelihood else None,
        label_tokens=likelihood.label_tokens if likelihood else None,
        characters=likelihood.characters if likelihood else None,
        signals=signals,
        confidence=confidence,
    )
