"""Shops of skewed sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.records import Assignment, Session
from ecc_fed.core.seeding import derive_rng
from ecc_fed.corpus.partition.shops import check_alpha, check_sizes, numbered_shops
from ecc_fed.corpus.partition.skew import deal, draw_shares, fill_up


@dataclass(frozen=True)
class QuantityPartition:
    """Sessions at random, the shops' sizes ~ Dir(dirichlet_alpha). dirichlet_alpha > 0; small is skewed."""

    dirichlet_alpha: float = 0.5
    min_sessions: int = 5

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`."""
        check_alpha(self.dirichlet_alpha)
        check_sizes(len(sessions), num_shops, self.min_sessions)
        rng = derive_rng(seed, "quantity_partition")
        owners = deal(len(sessions), draw_shares(num_shops, self.dirichlet_alpha, rng), rng)
        return numbered_shops(owners, num_shops, moved=fill_up(owners, num_shops, self.min_sessions, rng))
