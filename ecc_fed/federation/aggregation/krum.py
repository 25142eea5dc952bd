"""Krum and Multi-Krum (Blanchard et al. 2017), on products s B A: the updates that have the closest company count.

    symbol   argument                range                source
    n                                                     updates of shops that had examples
    f        floor(`hostile_share` n)                     how many may lie, whatever they send
    score_i  sum of ||W_i - W_j||^2 over the n - f - 2 nearest j          Sec. 4
    m        `kept`, or n - f        1 to n - f           Multi-Krum, Sec. 5; Krum is m = 1

The m updates of the least scores count, in shop order, as `mean` makes one adapter of them; the others do not. The
guarantee asks for 2 f + 2 < n. The mean is best one of products too (`FlexLora`): factors whose product is like the
others' may be wild all the same, and then spoil a mean of factors. A shop says itself how many examples it has, so
weights by examples let it lie here too: `Uniform` is the choice of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, AggregatorState, tensor_bytes
from ecc_fed.core.errors import TooFewUpdates
from ecc_fed.core.ranges import require, require_number
from ecc_fed.federation.aggregation.geometry import Matrix, inner_products, squared_distances
from ecc_fed.federation.aggregation.wrapper import Wrapper


def scores(distances: Matrix, hostile: int) -> Matrix:
    """Each one's sum of squared distances to its n - f - 2 nearest others, from (n, n)."""
    n = len(distances)
    others = distances[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    nearest: Matrix = np.sort(others, axis=1)[:, : n - hostile - 2]
    total: Matrix = nearest.sum(axis=1)
    return total


@dataclass(frozen=True, kw_only=True)
class MultiKrum(Wrapper):
    """Leaves out what lies far from the others.

    Args:
        hostile_share: of a round's shops, so many may be hostile, 0 up to, not including, a half.
        kept: how many updates count; null: all but as many as may be hostile.
    """

    hostile_share: float = 0.3
    kept: int | None = None

    def __post_init__(self) -> None:
        require_number("strategy.hostile_share", self.hostile_share, 0, 0.5 - 1e-9)
        require(self.kept is None or self.kept >= 1, "strategy.kept", self.kept, "1 or more, or null")

    @property
    def single_updates(self) -> bool:
        """Compares them."""
        return True

    def _hostile(self, count: int) -> int:
        return math.floor(self.hostile_share * count + 1e-9)

    def check_count(self, count: int) -> None:
        """Whether the guarantee holds for so many updates, and leaves out anybody at all.

        Raises:
            TooFewUpdates: it does not, or more would be kept than are surely honest; as the mean.
        """
        hostile = self._hostile(count)
        if count < 2 * hostile + 3:
            raise TooFewUpdates(
                f"strategy.hostile_share={self.hostile_share:g} of {count} updates is {hostile}, and Krum needs more "
                f"than 2 x {hostile} + 2 of them to tell who is alone. Take a smaller share, or more shops a round."
            )
        if self.hostile_share and not hostile:
            raise TooFewUpdates(
                f"strategy.hostile_share={self.hostile_share:g} of {count} updates is not even one, so Krum would "
                "guard against nobody. Take a larger share, more shops a round, or a share of 0 if that is meant."
            )
        kept = count - hostile if self.kept is None else self.kept
        if kept > count - hostile:
            raise TooFewUpdates(
                f"strategy.kept={kept} of {count} updates, of which {hostile} may be hostile, would count hostile "
                f"ones: take {count - hostile} or less, or null."
            )
        super().check_count(kept)

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """What the mean makes of the updates that count.

        Raises:
            TooFewUpdates: as `check_count`.
            ConfigError: as the mean.
        """
        learned = [update for update in updates if update.num_examples]
        self.check_count(len(learned))
        hostile = self._hostile(len(learned))
        kept = len(learned) - hostile if self.kept is None else self.kept
        order = np.argsort(scores(squared_distances(inner_products(learned)), hostile), kind="stable")
        chosen = [learned[index] for index in sorted(order[:kept].tolist())]
        after, report = self.mean.aggregate(state, chosen)
        names = {update.shop_id for update in chosen}
        flags = {update.shop_id: "not_selected" for update in learned if update.shop_id not in names}
        return after, replace(
            report,
            ranks={update.shop_id: update.rank for update in updates if update.rank is not None},
            update_bytes={update.shop_id: tensor_bytes(update.adapter) for update in updates},
            flags={**report.flags, **flags},
        )
