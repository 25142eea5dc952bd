"""Methods that work factor by factor need one rank: a mean of A of rank 4 and A of rank 8 means nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError


def check_one_rank(updates: Sequence[AdapterUpdate], method: str) -> None:
    """All updates of one rank.

    Raises:
        ConfigError: names two shops whose ranks differ, and the method that cannot take them.
    """
    first = updates[0]
    for other in updates[1:]:
        if other.rank != first.rank:
            raise ConfigError(
                f"{method} averages factors of one rank; shop {first.shop_id} sends rank {first.rank}, shop "
                f"{other.shop_id} rank {other.rank}. Give all shops the same adapter.rank, or choose a strategy that "
                "takes mixed ranks."
            )
