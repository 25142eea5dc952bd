"""Coordinate-wise trimmed mean and median (Yin et al. 2018, Definitions 1 and 2), on products s B A.

    symbol   argument           range         source
    n                                         updates of shops that had examples
    W_i                         (d_out, d_in) s_i B_i A_i of a module
    k        floor(beta n)      < n / 2       beta is `trimmed_share`; a half: the median
    M                           (d_out, d_in) of every number, the mean of all W_i but the k least and the k greatest

A coordinate of W has a meaning that one of A or B has not: factors can be turned without changing their product. M has
any rank, so the adapter is its best approximation of the updates' own rank. That is the price of coordinates: n d_out
d_in numbers of a module are sorted, in blocks of rows, and the SVD of the whole M takes time with the cube of its
smaller side. So modules above `most_numbers` are refused; Multi-Krum needs no coordinates and takes any size. Shops
count alike, however many examples they say they have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ecc_fed.core.aggregation import (
    TURNED,
    AdapterUpdate,
    AggregateReport,
    AggregatorState,
    Exchange,
    low_rank_pairs,
)
from ecc_fed.core.errors import ConfigError, TooFewUpdates
from ecc_fed.core.ranges import require, require_number
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import mean_scale
from ecc_fed.federation.aggregation.geometry import Matrix, unpaired
from ecc_fed.federation.aggregation.low_rank import Svd, best_pair
from ecc_fed.federation.aggregation.report import report_on

# Numbers of all shops' products that are held at once.
_BLOCK = 1 << 22


def trimmed_mean(values: Matrix, cut: int) -> Matrix:
    """The mean over axis 0 without the `cut` least and the `cut` greatest of every number."""
    kept: Matrix = np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)
    return kept


def trimmed_product(updates: Sequence[AdapterUpdate], names: tuple[str, str], cut: int) -> Matrix:
    """M (d_out, d_in) of the module with these names of A and B."""
    name_a, name_b = names
    a = [update.adapter[name_a].astype(np.float64) for update in updates]
    b = [update.scale * update.adapter[name_b].astype(np.float64) for update in updates]
    d_out, d_in = len(b[0]), a[0].shape[1]
    rows = max(1, _BLOCK // (len(updates) * d_in))
    blocks = [
        trimmed_mean(np.stack([left[start : start + rows] @ right for left, right in zip(b, a, strict=True)]), cut)
        for start in range(0, d_out, rows)
    ]
    return np.concatenate(blocks)


@dataclass(frozen=True, slots=True)
class TrimmedMean:
    """No more than `trimmed_share` of the shops move any number beyond what the others say.

    Args:
        trimmed_share: of the shops, so many are left out at either end of every number, 0 to a half.
        most_numbers: d_out d_in of the largest module that is taken.
    """

    trimmed_share: float = 0.3
    most_numbers: int = 2048 * 2048
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_number("strategy.trimmed_share", self.trimmed_share, 0, 0.5)
        # Below it, more shops than any run has would have to come before one is left out.
        least = "0, or at least 0.001"
        require(not 0 < self.trimmed_share < 1e-3, "strategy.trimmed_share", self.trimmed_share, least)
        require(self.most_numbers >= 1, "strategy.most_numbers", self.most_numbers, "1 or more")

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round; an SVD's factors come back."""
        return TURNED

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The same for all."""
        return state.adapter

    def _cut(self, count: int) -> int:
        return min(math.floor(self.trimmed_share * count + 1e-9), (count - 1) // 2)

    def check_count(self, count: int) -> None:
        """Whether of so many updates any is left out: else it would be the plain mean under another name.

        Raises:
            TooFewUpdates: none would be.
        """
        if self.trimmed_share and not self._cut(count):
            least = next(more for more in itertools.count(3) if self._cut(more))
            raise TooFewUpdates(
                f"strategy.trimmed_share={self.trimmed_share:g} of {count} updates leaves none out at either end; "
                f"{least} or more are needed. Take a larger share, or more shops a round."
            )

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The best approximation of M; its error stands in the report as any, to the mean of all updates.

        Raises:
            TooFewUpdates: as `check_count`.
            ConfigError: a module that is too large.
        """
        learned = [update for update in updates if update.num_examples]
        first = learned[0].adapter
        self.check_count(len(learned))
        cut = self._cut(len(learned))
        scale = mean_scale([update.scale for update in learned], [1.0] * len(learned))
        adapter = {}
        for name_a, name_b in low_rank_pairs(first):
            rank, d_in, d_out = *first[name_a].shape, len(first[name_b])
            if d_out * d_in > self.most_numbers:
                raise ConfigError(
                    f"strategy TrimmedMean sorts every number of B A, and {name_b} has {d_out} x {d_in} of them: above "
                    f"strategy.most_numbers={self.most_numbers}. Take strategy=multi_krum, or a higher limit."
                )
            dense = trimmed_product(learned, (name_a, name_b), cut)
            adapter[name_a], adapter[name_b] = best_pair(Svd(*np.linalg.svd(dense, full_matrices=False)), rank, scale)
        for name in unpaired(first):
            values = np.stack([update.adapter[name].astype(np.float64) for update in learned])
            adapter[name] = trimmed_mean(values, cut).astype(np.float32)
        adapter = {name: adapter[name] for name in first}
        return AggregatorState(adapter), report_on(adapter, state.adapter, learned, [1.0] * len(learned))
