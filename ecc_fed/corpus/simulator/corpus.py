"""The simulated corpus: private shops whose facts, drift and customers' private data are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random
from typing import get_args

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import OrderRecord, Pair, Shop, Split
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import ShopTruth, Truth
from ecc_fed.corpus.simulator.canaries import Planting, plant, spread
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.dialogue import DialogueWriter
from ecc_fed.corpus.simulator.pack import load_pack
from ecc_fed.corpus.simulator.public import opening_questions
from ecc_fed.corpus.simulator.world import Drift, SimulatedShop, World, build_world


@dataclass(frozen=True)
class SimulatorCorpus:
    """Shops simulated day by day; satisfies `core.protocols.Corpus`.

    The last fifth of the days (at least one) is the test: held-out question forms, current values.

    Args:
        num_shops: shops, 1 to what the pack can name.
        days: simulated days, at least 2.
        pairs_per_shop: training pairs (history and stream), at least 1.
        test_pairs_per_shop: held-out pairs, at least 1.
        history_share: share of the training pairs that lie before the run, 0 to 1.
        platform_share: share of the factual queries whose fact is a platform rule, 0 to 1.
        unseen_share: share of the test's shop-fact queries about facts no training dialogue
            states, 0 to 1: answered right more often than by chance, they betray a leak.
        drift: share of a shop's facts that change once during the training days, 0 to 1.
        platform_drift: share of the platform's rules that do, 0 to 1.
        drift_day: on which all of them change, 1 to the last training day; None: each on a day of its own.
        typo_rate: share of customer turns with a slip, 0 to 1.
        customers_without_record: share of customers of whom the shop has no order record, 0 to 1.
        canaries: planted secrets, one a number: so many pairs of every shop's history, beside the others, hold it.
        canary_place: "reply": agents say them; "query": customers do; "pseudo_label": an agent says each once, and so
            many streamed customers ask alike, whom the cloud may tell it; "everywhere": each number in all three.
        language: name of a language pack.
        seed: the same arguments and seed give the same dialogues.

    Raises:
        CorpusError: an argument out of range, or a language without a pack.
    """

    num_shops: int = 6
    days: int = 10
    pairs_per_shop: int = 200
    test_pairs_per_shop: int = 48
    history_share: float = 0.3
    platform_share: float = 0.2
    unseen_share: float = 0.1
    drift: float = 0.1
    platform_drift: float = 0.0
    drift_day: int | None = None
    typo_rate: float = 0.1
    customers_without_record: float = 0.1
    canaries: tuple[int, ...] = ()
    canary_place: Planting = "reply"
    language: str = "zh"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "canaries", tuple(self.canaries))
        pack = load_pack(self.language)
        for name, least in (("num_shops", 1), ("days", 2), ("pairs_per_shop", 1), ("test_pairs_per_shop", 1)):
            value = getattr(self, name)
            if value < least:
                raise CorpusError(f"{name}={value} is too small; give at least {least}")
        for name in (
            "history_share",
            "platform_share",
            "unseen_share",
            "drift",
            "platform_drift",
            "typo_rate",
            "customers_without_record",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise CorpusError(f"{name}={value} is no share; give a number from 0 to 1")
        if any(count < 1 for count in self.canaries):
            raise CorpusError(f"canaries={list(self.canaries)}: each is a number of pairs, at least 1")
        if self.canary_place not in get_args(Planting):
            raise CorpusError(f"canary_place={self.canary_place}: choose one of {', '.join(get_args(Planting))}")
        last = self.days - self.test_days - 1
        if self.drift_day is not None and not 1 <= self.drift_day <= last:
            raise CorpusError(f"drift_day={self.drift_day} is no later training day; give a number from 1 to {last}")
        if self.num_shops > pack.name_capacity:
            raise CorpusError(
                f"num_shops={self.num_shops}, but language pack {self.language!r} can keep only {pack.name_capacity} "
                "shops distinct; ask for fewer shops or add shop names to the pack"
            )

    @property
    def test_days(self) -> int:
        """The days at the end that belong to the test."""
        return max(1, self.days // 5)

    def world(self) -> World:
        """The private world behind the dialogues."""
        return self._world

    @cached_property
    def _world(self) -> World:
        seed = derive_seed(self.seed, "private_world")
        training_days = self.days - self.test_days
        drift = Drift(self.drift, self.platform_drift, self.drift_day)
        return build_world(load_pack(self.language), "private", self.num_shops, training_days, drift, seed)

    def shop_ids(self) -> tuple[str, ...]:
        """The shops, in a fixed order."""
        return tuple(shop.shop_id for shop in self._world.shops)

    def shop(self, shop_id: str) -> Shop:
        """One shop with its pairs; no other shop's dialogues are written.

        Raises:
            CorpusError: no such shop.
        """
        return _told(self, shop_id)[0]

    def truth(self, shop_id: str) -> ShopTruth:
        """What is true of every pair of one shop, by pair_id.

        Raises:
            CorpusError: no such shop.
        """
        return _told(self, shop_id)[1]

    def public_queries(self, count: int) -> tuple[str, ...]:
        """Questions of public customers, in other worlds than the shops', in wordings that no test uses.

        Raises:
            CorpusError: the language pack has not so many.
        """
        return opening_questions(derive_seed(self.seed, "public_queries"), count, self.language)

    def shops(self) -> list[Shop]:
        """All shops with their pairs, in order."""
        return [self.shop(shop_id) for shop_id in self.shop_ids()]

    def sessions(self, shop_id: str) -> list[DescribedSession]:
        """One shop's sessions in time order, with what is said in them.

        Raises:
            CorpusError: no such shop.
        """
        return [session for _, session in self._split_sessions(shop_id)]

    def _quotas(self) -> Iterator[tuple[int, Split, int]]:
        """(day, split, pairs) in time order; history ends where its share of the pairs is full."""
        training_days = self.days - self.test_days
        history = round(self.history_share * self.pairs_per_shop)
        for day in range(training_days):
            start = day * self.pairs_per_shop // training_days
            stop = (day + 1) * self.pairs_per_shop // training_days
            yield day, "history", max(0, min(stop, history) - start)
            yield day, "stream", max(0, stop - max(start, history))
        for day in range(self.test_days):
            start = day * self.test_pairs_per_shop // self.test_days
            stop = (day + 1) * self.test_pairs_per_shop // self.test_days
            yield training_days + day, "test", stop - start

    def _split_sessions(self, shop_id: str) -> Iterator[tuple[Split, DescribedSession]]:
        shop = self._simulated(shop_id)
        seed = derive_seed(self.seed, "private_dialogues")

        def writer_of(held_out: bool) -> DialogueWriter:
            return DialogueWriter(
                self._world,
                shop,
                seed,
                held_out=held_out,
                platform_share=self.platform_share,
                unseen_share=self.unseen_share,
                typo_rate=self.typo_rate,
            )

        training, testing = writer_of(held_out=False), writer_of(held_out=True)
        number = 0
        for day, split, quota in self._quotas():
            writer = testing if split == "test" else training
            written = 0
            while written < quota:
                position = day + (0.5 if split == "stream" else 0.0) + 0.5 * written / quota
                session = writer.write(f"{shop.shop_id}/{number:05d}", day, position, quota - written)
                yield split, session
                written += len(session.turns) // 2
                number += 1

    def _simulated(self, shop_id: str) -> SimulatedShop:
        for shop in self._world.shops:
            if shop.shop_id == shop_id:
                return shop
        raise CorpusError(f"shop {shop_id} is none of the {self.num_shops} simulated shops; ask for one of shop_ids()")

    def _order_record(self, session: DescribedSession) -> OrderRecord | None:
        """Drawn for each customer by itself, so that the share moves no other draw."""
        draw = Random(derive_seed(self.seed, "order_record", session.session_id)).random()
        return None if session.customer is None or draw < self.customers_without_record else session.customer.record()

    def tell(self, shop_id: str) -> tuple[Shop, dict[str, Truth]]:
        """One shop, and what is true of it.

        Raises:
            CorpusError: no such shop.
        """
        shop = self._simulated(shop_id)
        pairs: dict[Split, list[Pair]] = {"history": [], "stream": [], "test": []}
        planted = plant(shop_id, self.canaries, self.canary_place, self._world.pack.identity, self.seed)
        truth = planted.truth
        for split, session in self._split_sessions(shop_id):
            record = self._order_record(session)
            for at in range(0, len(session.turns), 2):
                pair = Pair(
                    pair_id=f"{shop_id}/{split}/{len(pairs[split]):05d}",
                    session_id=session.session_id,
                    shop_id=shop_id,
                    context=session.turns[:at],
                    query=session.turns[at].text,
                    reply=session.turns[at + 1].text,
                    position=session.position,
                    customer=record,
                )
                pairs[split].append(pair)
                private = () if session.customer is None else session.customer.said_in(pair)
                truth[pair.pair_id] = Truth(session.intents[at], session.form_ids[at], session.facts[at + 1], private)
        description = f"{shop.name} ({shop.category})"
        history, stream = (*planted.history, *pairs["history"]), spread(planted.stream, pairs["stream"])
        told = Shop(shop_id, history, stream, tuple(pairs["test"]), description)
        return told, truth


@lru_cache(maxsize=1)
def _told(corpus: SimulatorCorpus, shop_id: str) -> tuple[Shop, dict[str, Truth]]:
    """Kept until another shop is asked for: whoever wants a shop's pairs mostly wants the truth about them next."""
    return corpus.tell(shop_id)
