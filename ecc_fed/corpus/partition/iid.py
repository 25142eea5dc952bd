"""Equal shops at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.records import Assignment, Session
from ecc_fed.core.seeding import derive_rng
from ecc_fed.corpus.partition.shops import check_sizes, numbered_shops
from ecc_fed.corpus.partition.skew import deal


@dataclass(frozen=True)
class IidPartition:
    """Equal shares at random. min_sessions: sessions a shop has at least, >= 1."""

    min_sessions: int = 5

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`."""
        check_sizes(len(sessions), num_shops, self.min_sessions)
        rng = derive_rng(seed, "iid_partition")
        return numbered_shops(deal(len(sessions), np.full(num_shops, 1 / num_shops), rng), num_shops)
