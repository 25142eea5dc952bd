"""What FLoRA and FedEx-LoRA would add to the base: here a frozen part of every shop's adapter, the same everywhere.

The base is one for all shops, quantized and resident, so nobody writes to it. What a round adds to it is stacked upon
what the rounds before added: exact, of a rank that grows by the sum of the shops' ranks. Beyond `max_rank` the sum is
cut to its best approximation of the least rank that keeps `energy` of the squared singular values in every module, at
most `max_rank`; the report's error tells what that costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, low_rank_pairs
from ecc_fed.core.frozen_part import frozen_names, frozen_rank, own_part
from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState, Array
from ecc_fed.federation.aggregation.low_rank import Factors, Matrix, best_pair, energy_rank, stacked, svd
from ecc_fed.federation.aggregation.report import report_on

# F_B and F_A by the name of the A beside which they are served.
Sums = Mapping[str, Factors]


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the frozen part may grow.

    Args:
        max_rank: 1 or more.
        energy: kept where it would be more; above 0, at most 1.

    Raises:
        ConfigError: a value out of range.
    """

    max_rank: int
    energy: float

    def __post_init__(self) -> None:
        require(self.max_rank >= 1, "strategy.bound.max_rank", self.max_rank, "1 or more")
        require(0 < self.energy <= 1, "strategy.bound.energy", self.energy, "above 0, at most 1")

    def applied(self, sums: Sums) -> AdapterState:
        """The frozen part that holds these sums, in fp32 and of one rank in all modules."""
        rank = max(each.rank for each in sums.values())
        frozen: dict[str, Array] = {}
        if rank <= self.max_rank:
            for name_a, each in sums.items():
                frozen_a, frozen_b = frozen_names(name_a)
                frozen[frozen_a] = _to_rank(each.right, rank)
                frozen[frozen_b] = np.ascontiguousarray(_to_rank(each.left.T, rank).T)
            return frozen
        found = {name_a: svd(each) for name_a, each in sums.items()}
        rank = min(self.max_rank, max(energy_rank(each.values, self.energy) for each in found.values()))
        for name_a, decomposed in found.items():
            frozen_a, frozen_b = frozen_names(name_a)
            frozen[frozen_a], frozen[frozen_b] = best_pair(decomposed, rank, 1.0)
        return frozen


def _to_rank(rows: Matrix, rank: int) -> Array:
    return np.pad(rows, ((0, rank - len(rows)), (0, 0))).astype(np.float32)


def frozen_sum(adapter: AdapterState | None, name_a: str) -> list[Factors]:
    """What the rounds before have added to the module of this A; nothing before the first."""
    if adapter is None or not frozen_rank(adapter):
        return []
    frozen_a, frozen_b = frozen_names(name_a)
    return [Factors(adapter[frozen_b].astype(np.float64), adapter[frozen_a].astype(np.float64))]


def report_on_whole(
    adapter: AdapterState,
    scale: float,
    before: AdapterState | None,
    updates: Sequence[AdapterUpdate],
    weights: Sequence[float],
) -> AggregateReport:
    """The report on all that `adapter` adds to the base, less what was frozen in `before`, on which shops trained.

    Args:
        adapter: the new one, with its frozen part.
        scale: of its own pairs.
        before: the one before; None: there was none.
        updates: what it was made of.
        weights: how much each counts.
    """
    moved: dict[str, Array] = {}
    for name_a, name_b in low_rank_pairs(adapter):
        own = Factors(scale * adapter[name_b].astype(np.float64), adapter[name_a].astype(np.float64))
        less = [Factors(-each.left, each.right) for each in frozen_sum(before, name_a)]
        total = stacked([own, *frozen_sum(adapter, name_a), *less])
        moved[name_a], moved[name_b] = total.right.astype(np.float32), total.left.astype(np.float32)
    told = report_on(moved, None, updates, weights, scale=1.0)
    own_rank = next(len(each) for name, each in own_part(adapter).items() if ".lora_A." in name)
    return replace(told, aggregate_rank=own_rank + frozen_rank(adapter))
