"""The data's own shops where it has any, else shops by topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecc_fed.core.records import Assignment, Session
from ecc_fed.corpus.partition.natural import NaturalPartition
from ecc_fed.corpus.partition.topic import TopicPartition


@dataclass(frozen=True)
class AutoPartition:
    """`NaturalPartition` for a corpus that names two shops or more, `TopicPartition` for any other. It says which.

    dirichlet_alpha, num_topics: of the topics, see `TopicPartition`
    min_sessions:                least of each shop, for both
    """

    dirichlet_alpha: float = 0.5
    num_topics: int = 16
    min_sessions: int = 5

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`."""
        shops: set[str] = set()
        for session in sessions:
            if session.shop_id is not None:
                shops.add(session.shop_id)
                if len(shops) == 2:
                    found = NaturalPartition(self.min_sessions).assign(sessions, num_shops, seed)
                    return replace(found, notes=(*found.notes, "Shops are the corpus's own (partition=natural)"))
        found = TopicPartition(self.dirichlet_alpha, self.num_topics, self.min_sessions).assign(
            sessions, num_shops, seed
        )
        why = "names one shop alone" if shops else "names no shops"
        return replace(found, notes=(*found.notes, f"The corpus {why}: shops are made by topic (partition=topic)"))
