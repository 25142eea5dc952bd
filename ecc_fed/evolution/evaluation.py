"""Answers and scores a shop's test pairs; one row a pair, facts checked without any judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.facts import competing_values, find_form, states_fact
from ecc_fed.core.records import (
    AdapterState,
    Example,
    Fact,
    Judgement,
    Likelihood,
    LikelihoodRequest,
    Pair,
    ReplyRequest,
    TeacherReply,
)
from ecc_fed.core.seeding import derive_seed
from ecc_fed.evolution.loop import ask_cloud, judge_replies, last
from ecc_fed.evolution.settings import EvolutionSettings, Services

# kind of fact -> surface form -> shops for which it is true
ValuesOfShops = Mapping[str, Mapping[str, frozenset[str]]]


def values_of_shops(pairs_of_shops: Mapping[str, Sequence[Pair]]) -> dict[str, dict[str, frozenset[str]]]:
    """Which shops a surface form is true for, by kind: tells whose value a wrong answer states."""
    shops: dict[str, dict[str, set[str]]] = {}
    for shop_id, pairs in pairs_of_shops.items():
        for pair in pairs:
            for fact in pair.facts:
                if fact.scope == "shop":
                    for form in fact.accepted:
                        shops.setdefault(fact.kind, {}).setdefault(form, set()).add(shop_id)
    return {kind: {form: frozenset(ids) for form, ids in forms.items()} for kind, forms in shops.items()}


def taught_values(training: Sequence[Pair]) -> frozenset[tuple[str, tuple[str, ...]]]:
    """(key, accepted forms) of every fact that some training dialogue of the shop states."""
    return frozenset((fact.key, fact.accepted) for pair in training for fact in pair.facts)


def _fact_row(fact: Fact, reply: str, seen: bool, shop_id: str, values: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    wrong = competing_values(reply, fact)
    others: set[str] = set()
    if not states_fact(reply, fact):
        for form, shops in values.items():
            if form not in fact.accepted and find_form(reply, form):
                others |= shops - {shop_id}
    return {
        "key": fact.key,
        "kind": fact.kind,
        "scope": fact.scope,
        "accepted": list(fact.accepted),
        "seen": seen,
        "stated": states_fact(reply, fact),
        "competing_stated": wrong,
        "other_shop": sorted(others),
    }


def extra_pairs(shop_id: str, queries: Sequence[str]) -> tuple[Pair, ...]:
    """The extra queries as pairs of a shop, without context and without a human reply."""
    ids = [f"extra/{number}" for number in range(1, len(queries) + 1)]
    return tuple(Pair(name, name, shop_id, (), query, "") for name, query in zip(ids, queries, strict=True))


def _row(
    pair: Pair,
    phase: str,
    server_round: int,
    reply: str,
    cloud: TeacherReply,
    judgement: Judgement | None,
    likelihood: Likelihood | None,
    training_replies: frozenset[str],
    taught: frozenset[tuple[str, tuple[str, ...]]],
    values: ValuesOfShops,
    chrf: CHRF,
) -> dict[str, Any]:
    return {
        "shop_id": pair.shop_id,
        "pair_id": pair.pair_id,
        "phase": phase,
        "extra": likelihood is None,
        "server_round": server_round,
        "context": [{"role": turn.role, "text": turn.text} for turn in pair.context],
        "query": pair.query,
        "reference": pair.reply,
        "reply": reply,
        "cloud_reply": cloud.text,
        "intent": pair.intent,
        "form_id": pair.form_id,
        "similarity": judgement.similarity if judgement else None,
        "relevance": judgement.relevance if judgement else None,
        "cloud_relevance": judgement.cloud_relevance if judgement else None,
        "final_score": judgement.final_score if judgement else None,
        "relevance_trusted": judgement.relevance_trusted if judgement else None,
        "accepted": judgement.accepted if judgement else None,
        "facts": [
            _fact_row(fact, reply, (fact.key, fact.accepted) in taught, pair.shop_id, values.get(fact.kind, {}))
            for fact in pair.facts
        ],
        "chrf": chrf.sentence_score(reply, [pair.reply]).score if likelihood else None,
        "verbatim": reply in training_replies,
        "nll_nats": likelihood.nll_nats if likelihood else None,
        "label_tokens": likelihood.label_tokens if likelihood else None,
        "characters": likelihood.characters if likelihood else None,
    }


def evaluate_pairs(
    pairs: Sequence[Pair],
    adapter: AdapterState | None,
    phase: str,
    server_round: int,
    training: Sequence[Pair],
    values: ValuesOfShops,
    settings: EvolutionSettings,
    services: Services,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of `samples.jsonl` for one shop's test pairs.

    The cloud's few-shot examples are the shop's latest `training` pairs in every phase and arm, and
    the draws depend on `seed` alone, so that rows of two phases or arms are paired.

    Args:
        pairs: the shop's test pairs; empty gives no rows. Rows of `settings.extra_queries` follow
            theirs, marked as extra, without what needs a human reply.
        adapter: what answers; None is the bare base.
        phase: "base" or "final".
        server_round: for the records.
        training: all natural pairs the shop's device may learn from, in time order.
        values: from `values_of_shops`.
        settings: decoding and N.
        services: models and gateway.
        seed: the shop's evaluation seed, the same for both phases.
    """
    if not pairs:
        return []
    held_out = tuple(Example(pair.prompt, pair.reply) for pair in pairs)
    likelihoods: list[Likelihood | None] = [
        *services.end_model.likelihood([LikelihoodRequest(adapter, held_out)])[0],
        *[None for _ in settings.extra_queries],
    ]
    pairs = (*pairs, *extra_pairs(pairs[0].shop_id, settings.extra_queries))
    examples = last(training, settings.teacher_examples)
    cloud = ask_cloud(pairs, examples, "evaluate", server_round, services)
    request = ReplyRequest(adapter, tuple(pair.prompt for pair in pairs), settings.decoding, derive_seed(seed, "reply"))
    replies = services.end_model.reply([request])[0]
    judgements = judge_replies(pairs, replies, cloud, services)
    training_replies = frozenset(pair.reply for pair in training)
    taught = taught_values(training)
    chrf = CHRF()
    return [
        _row(pair, phase, server_round, reply, answer, judgement, likelihood, training_replies, taught, values, chrf)
        for pair, reply, answer, judgement, likelihood in zip(
            pairs, replies, cloud, judgements, likelihoods, strict=True
        )
    ]
