"""Simulated dialogues with what is true of them: for measuring, out of any redactor's reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from ecc_fed.core.records import OrderRecord, Pair, Turn
from ecc_fed.corpus.simulator import SimulatorCorpus


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A whole dialogue: its pairs, and the private values (class, value) that are said in it."""

    pairs: tuple[Pair, ...]
    said: tuple[tuple[str, str], ...]

    @property
    def shop_id(self) -> str:
        """Whose."""
        return self.pairs[0].shop_id

    @property
    def customer(self) -> OrderRecord | None:
        """What the shop knows of the customer."""
        return self.pairs[0].customer

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All that is said, from the first turn to the last."""
        last = self.pairs[-1]
        return (*last.prompt, Turn("agent", last.reply))


def simulated(number: int, seed: int, private: bool = True, without_record: float = 0.0) -> Iterator[Dialogue]:
    """`number` dialogues, shop by shop and world by world, all with something private in them, or all without."""
    for world in count():
        corpus = SimulatorCorpus(
            num_shops=8, pairs_per_shop=400, customers_without_record=without_record, seed=seed + 1000 * world
        )
        for shop_id in corpus.shop_ids():
            shop, truth = corpus.tell(shop_id)
            sessions: dict[str, list[Pair]] = {}
            for pair in (*shop.history, *shop.stream, *shop.test):
                sessions.setdefault(pair.session_id, []).append(pair)
            for pairs in sessions.values():
                values = {(v.kind, v.value) for pair in pairs for v in truth[pair.pair_id].private_values}
                if bool(values) != private:
                    continue
                renamed = tuple(_in_world(pair, world) for pair in pairs)
                yield Dialogue(renamed, tuple(sorted(values)))
                number -= 1
                if number == 0:
                    return


def _in_world(pair: Pair, world: int) -> Pair:
    """The pair of a shop that no other world has."""
    shop_id = f"world_{world}/{pair.shop_id}"
    return Pair(
        pair.pair_id, pair.session_id, shop_id, pair.context, pair.query, pair.reply, pair.position, pair.customer
    )
