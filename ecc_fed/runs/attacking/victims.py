"""Whose data is looked for, in which adapters, and what whoever attacks has of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ecc_fed.assembly.build import build_end_model
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.protocols import Corpus, EndModel
from ecc_fed.core.records import AdapterState, Example, Likelihood, LikelihoodRequest, Pair, Shop
from ecc_fed.core.rows import AttackTarget
from ecc_fed.core.seeding import adapter_seed
from ecc_fed.core.truth import Canary, ShopTruth
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.evolution.downlink import received
from ecc_fed.evolution.own_alpha import AtAlpha
from ecc_fed.evolution.shop_state import ShopState
from ecc_fed.federation.checkpoint import load_checkpoint
from ecc_fed.runs.finished_run import FinishedRun, end_state

_AT_ONCE = 256


@dataclass(frozen=True)
class Victim:
    """A shop, what is true of its pairs, its state at the end, and the adapters to attack (None: the bare base).

    `other` is the shop that gets the server's adapter, with what is true of its pairs; None where the run has one shop.
    """

    shop: Shop
    truth: ShopTruth
    state: ShopState
    adapters: Mapping[AttackTarget, tuple[AdapterState | None, EndModel]]
    other: Shop | None = None
    other_truth: ShopTruth = field(default_factory=dict)

    def canary(self, pair: Pair) -> Canary | None:
        """What was planted in the pair."""
        truth = self.truth.get(pair.pair_id)
        return None if truth is None else truth.canary

    def planted(self) -> list[tuple[Pair, Canary]]:
        """Of every secret the first pair that holds it."""
        found: dict[str, tuple[Pair, Canary]] = {}
        for pair in self.shop.history:
            canary = self.canary(pair)
            if canary is not None:
                found.setdefault(canary.secret, (pair, canary))
        return list(found.values())

    def learned(self) -> list[Pair]:
        """The pairs that the shop learned from as an agent answered them."""
        natural = set(self.state.natural_ids)
        return [pair for pair in (*self.shop.history, *self.shop.stream) if pair.pair_id in natural]

    def pairs_to_tell(self) -> tuple[list[Pair], list[bool]]:
        """Pairs that the shop learned from, and streamed ones of which it learned nothing; no text in both.

        A pair whose question came back from the cloud is left out: it was learned with another answer. So are planted
        ones.
        """
        labelled = {label.pair_id for label in self.state.pseudo_labels}
        members = [pair for pair in self.learned() if self.canary(pair) is None]
        known = {pair.pair_id for pair in members} | labelled
        said = {(pair.query, pair.reply) for pair in members}
        others = [
            pair
            for pair in self.shop.stream
            if pair.pair_id not in known and (pair.query, pair.reply) not in said and self.canary(pair) is None
        ]
        return [*members, *others], [True] * len(members) + [False] * len(others)


def victims(run: FinishedRun, config: RunConfig, corpus: Corpus) -> Iterator[Victim]:
    """Every shop of the run, with the bare base, its own adapter, and what the server last sent the next shop."""
    plan = build_plan(config)
    end_model = build_end_model(config)
    fresh = end_model.new_adapter(adapter_seed(config.seed))
    ranks, alphas = config.adapter.ranks_of(run.shop_ids), config.adapter.alphas_of(run.shop_ids)
    checkpoint = load_checkpoint(run.directory.server, run.info.run_id) if plan.federated else None

    def seen_by(shop_id: str) -> EndModel:
        return AtAlpha(end_model, alphas[shop_id]) if shop_id in alphas else end_model

    told = {shop_id: (corpus.shop(shop_id), corpus.truth(shop_id)) for shop_id in run.shop_ids}
    for place, shop_id in enumerate(run.shop_ids):
        shop, truth = told[shop_id]
        state, _ = end_state(run, shop, of_rank(fresh, ranks.get(shop_id)))
        adapters: dict[AttackTarget, tuple[AdapterState | None, EndModel]] = {
            "base": (None, end_model),
            "device": (state.adapter, seen_by(shop_id)),
        }
        other = run.shop_ids[(place + 1) % len(run.shop_ids)]
        if checkpoint is not None and other != shop_id:
            sent = plan.aggregator.downlink(checkpoint[0].state.aggregator, other)
            its_own = of_rank(fresh, ranks.get(other))
            if sent:
                adapters["other_shop"] = received(its_own, sent, config.adapter.shared_rank), seen_by(other)
        if other == shop_id:
            yield Victim(shop, truth, state, adapters)
        else:
            yield Victim(shop, truth, state, adapters, *told[other])


def likelihoods(model: EndModel, adapter: AdapterState | None, examples: Sequence[Example]) -> list[Likelihood]:
    """Of every example, some at a time."""
    found: list[Likelihood] = []
    for start in range(0, len(examples), _AT_ONCE):
        found += model.likelihood([LikelihoodRequest(adapter, tuple(examples[start : start + _AT_ONCE]))])[0]
    return found
