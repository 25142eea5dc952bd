"""FLoRIST (2025, arXiv 2506.09199): the SVD of the stacked factors, cut where it holds enough energy.

As FlexLoRA, but what the shops learned decides the rank: the least that keeps `energy` of the squared singular values
of W* in every module (the engines take one rank for all modules of an adapter), up to `max_rank`. All shops are sent
that rank, whatever theirs was before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.aggregation import TURNED, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import normalised
from ecc_fed.federation.aggregation.low_rank import best_pair, energy_rank, mean_products, svd
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.shop_ranks import in_own_scale, remembered_factors, unscaled
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class Florist:
    """Everything trains and travels; ranks may differ, and the server sets the next round's.

    Args:
        energy: share of the sum of squared singular values to keep, above 0, at most 1.
        max_rank: 1 or more.
        weights: how much each shop counts.
        scale_at: the s of an adapter of a rank: the run's.

    Raises:
        ConfigError: a value out of range.
    """

    energy: float
    max_rank: int
    weights: Weights = field(default_factory=ByExamples)
    scale_at: Callable[[int], float] = unscaled
    mixed_ranks: ClassVar[bool] = True
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(0 < self.energy <= 1, "strategy.energy", self.energy, "above 0, at most 1")
        require(self.max_rank >= 1, "strategy.max_rank", self.max_rank, "1 or more")

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round; an SVD's factors come back."""
        return TURNED

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The server's adapter, in its rank and the shop's own scale."""
        return in_own_scale(state.adapter, state, shop_id)

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The best approximation of the mean product of the rank that it takes."""
        weights = self.weights(updates)
        found = {names: svd(product) for names, product in mean_products(updates, normalised(weights))}
        rank = min(self.max_rank, max(energy_rank(each.values, self.energy) for each in found.values()))
        scale = self.scale_at(rank)
        adapter = {}
        for (name_a, name_b), each in found.items():
            adapter[name_a], adapter[name_b] = best_pair(each, rank, scale)
        scalars = remembered_factors(state, updates, self.scale_at)
        return AggregatorState(adapter, scalars=scalars), report_on(
            adapter, state.adapter, updates, weights, scale=scale
        )
