"""Where the shops' dialogues come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecc_fed.core.records import Assignment, Session, Shop


class Corpus(Protocol):
    """Yields the shops of a run: private dialogues, split in time."""

    def shops(self) -> list[Shop]:
        """The run's shops, in a fixed order.

        Raises:
            CorpusError: nothing readable, or too little for the shops asked for.
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
