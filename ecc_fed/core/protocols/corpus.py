"""Where the shops' dialogues come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ecc_fed.core.records import Assignment, Session, Shop
from ecc_fed.core.truth import ShopTruth


class Corpus(Protocol):
    """The shops of a run, one at a time, so that a device reads its own shop alone."""

    def shop_ids(self) -> tuple[str, ...]:
        """The run's shops, in a fixed order.

        Raises:
            CorpusError: nothing readable, or too little for the shops asked for.
        """
        ...

    def shop(self, shop_id: str) -> Shop:
        """One shop's private dialogues, split in order: what its device knows.

        Raises:
            CorpusError: as `shop_ids`, or no such shop.
        """
        ...

    def truth(self, shop_id: str) -> ShopTruth:
        """What is true of that shop's pairs, by pair_id; empty where nobody knows.

        Raises:
            CorpusError: as `shop`.
        """
        ...


@runtime_checkable
class AsksPublicly(Protocol):
    """What a `Corpus` that has queries for everybody has besides."""

    def public_queries(self, count: int) -> tuple[str, ...]:
        """So many different queries of nobody's customers, always the same: none is asked by a shop's own.

        Raises:
            CorpusError: there are not so many.
        """
        ...


class Partition(Protocol):
    """Gives the sessions of a corpus to shops."""

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """One entry for every session; exactly `num_shops` different shops.

        Raises:
            CorpusError: too few sessions for the shops asked for.
        """
        ...
