"""One shop's server round while it is under way: cycles of serving and learning, between two states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecc_fed.core.aggregation import Exchange, select
from ecc_fed.core.records import AdapterState, EgressEntry, Example, Pair, PublicSet, Shop
from ecc_fed.core.rows import ServedFacts
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.loop import Learned, Served, learn, lesson, serve
from ecc_fed.evolution.metric_rows import metric_row
from ecc_fed.evolution.public_set import answer_public, public_examples
from ecc_fed.evolution.served_facts import served_facts
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import ShopState
from ecc_fed.evolution.stream import human_answered, stream_part
from ecc_fed.evolution.text_masks import masked
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.evolution.variates import RoundVariate
from ecc_fed.teacher.gateway.budget import Spending


@dataclass(frozen=True, slots=True)
class RoundParts:
    """What a round needs beside the shop: the loop, the services, what is true of the shop's pairs, the run's seed."""

    settings: LoopSettings
    services: Services
    truth: ShopTruth
    seed: int
    uplink: Uplink


class ShopRound:
    """Serves and learns by turns, cycle after cycle; nothing of it is on disk before its end.

    Args:
        shop: whose.
        before: its state, with the optimizer that fits `start`.
        server_round: which.
        start: its adapter, with the server's tensors in their place.
        exchange: what trains and leaves.
        parts: all else.
        variate: the shop's control variate, where it keeps one.
        public: what the shops teach each other, where they do.
    """

    def __init__(
        self,
        shop: Shop,
        before: ShopState,
        server_round: int,
        start: AdapterState,
        exchange: Exchange,
        parts: RoundParts,
        variate: RoundVariate | None = None,
        public: PublicSet | None = None,
    ) -> None:
        self.shop, self.experience = shop, experience_of(shop, before)
        self._before, self._server_round, self._parts = before, server_round, parts
        self._exchange, self._variate = exchange, variate
        self._public, self._public_examples = public, public_examples(public)
        self._public_replies: tuple[str, ...] = ()
        self._anchor = select(start, exchange.up)
        self._human = human_answered(shop, parts.settings.evolution.human_share, parts.seed)
        self.adapter, self.optimizer = start, before.optimizer
        self._rows, self._outcomes = list(before.metrics), before.outcomes
        self._served, self._num_examples = before.served, 0
        self._noisy = before.noisy_steps
        self._noted: list[EgressEntry] = []
        self._cycle, self.cycle_seed = 0, 0
        self._answered: tuple[Served, Sequence[Pair], ServedFacts | None] | None = None

    def serve(self, cycle: int) -> Served:
        """Answers the cycle's part of the stream, and remembers what came of it."""
        settings, services = self._parts.settings, self._parts.services
        evolution, shop = settings.evolution, self.shop
        place = (self._server_round - 1) * evolution.cycles + cycle
        part = stream_part(shop, place, evolution.server_rounds * evolution.cycles)
        self._cycle = cycle
        self.cycle_seed = derive_seed(self._parts.seed, "cycle", shop.shop_id, self._server_round, cycle)
        served = serve(
            part,
            self.adapter if settings.trains else None,
            self.experience,
            self._parts.truth,
            settings,
            services,
            self._server_round,
            self.cycle_seed,
            self._outcomes,
        )
        self._outcomes = (*self._outcomes, *served.outcomes)
        grown = [pair for pair in part if pair.pair_id in self._human]
        self.experience = self.experience.grown(grown, served.pseudo_labels)
        self._served += len(part)
        self._answered = served, grown, served_facts(part, served.replies, self._parts.truth)
        return served

    def learn(self) -> None:
        """Fine-tunes on a draw from all that the shop remembers."""
        parts = self._parts
        learned = learn(
            self._lived(),
            self.adapter,
            self.optimizer,
            parts.settings,
            parts.services,
            self.cycle_seed,
            self._exchange.train,
            self._anchor,
            None if self._variate is None else self._variate.correction,
            self._noisy,
            self._public_examples,
        )
        if self._variate is not None and learned.gradient is not None:
            self._variate.add(learned, parts.uplink.leaving(learned.gradient, self._exchange))
        self.take(learned)

    def lesson(self) -> tuple[Example, ...]:
        """What `learn` would train on in this cycle."""
        parts = self._parts
        return lesson(self._lived(), parts.settings, parts.services, self.cycle_seed, self._public_examples)

    def _lived(self) -> Experience:
        """What the shop remembers, as its model may learn from it."""
        return masked(self.experience, self._parts.services.training_redactor, self.shop)

    def take(self, learned: Learned) -> None:
        """What was learned after the last `serve`."""
        assert self._answered is not None, "serve comes first"
        served, grown, facts = self._answered
        self.adapter, self.optimizer = learned.adapter, learned.optimizer
        self._num_examples += learned.num_examples
        private = self._parts.settings.private
        if learned.noisy is not None:
            self._noisy = (*self._noisy, learned.noisy)
        epsilon = None if private is None else private.epsilon(self._noisy)
        # A warm start is no round.
        lived = (row.server_round for row in self._rows if row.split == "stream")
        joined = min(lived, default=self._server_round)
        row = metric_row(self.shop.shop_id, self._server_round, self._cycle, served, learned, len(grown), joined, facts)
        self._rows.append(replace(row, epsilon=epsilon))

    def answer_public(self) -> None:
        """What the shop has to say to the public queries after all that it learned, where it is asked."""
        if self._public is None or not self._public.asks:
            return
        parts, seed = self._parts, derive_seed(self.cycle_seed, "public_replies")
        self._public_replies = answer_public(
            self._public, self.adapter, self.experience, parts.settings, parts.services, seed
        )

    def note(self, entry: EgressEntry) -> None:
        """For the shop's ledger: what left it by another way than the cloud's."""
        self._noted.append(entry)

    def after(self, spent: Spending, egress: Sequence[EgressEntry]) -> ShopState:
        """The shop after the round, which asked so much of the cloud."""
        before = self._before
        return replace(
            before,
            server_round=self._server_round,
            adapter=self.adapter,
            optimizer=self.optimizer,
            served=self._served,
            natural_ids=tuple(pair.pair_id for pair in self.experience.natural),
            pseudo_labels=self.experience.pseudo_labels,
            outcomes=self._outcomes,
            metrics=tuple(self._rows),
            egress=(*before.egress, *egress, *self._noted),
            num_examples=self._num_examples,
            spent=before.spent + spent,
            control=before.control if self._variate is None else self._variate.after(),
            noisy_steps=self._noisy,
            public_replies=self._public_replies,
        )


def experience_of(shop: Shop, state: ShopState) -> Experience:
    """What the shop remembers, as its state names it."""
    by_id = {pair.pair_id: pair for pair in (*shop.history, *shop.stream)}
    return Experience(tuple(by_id[i] for i in state.natural_ids), state.pseudo_labels)
