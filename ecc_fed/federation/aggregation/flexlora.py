"""FlexLoRA (Bai et al. 2024, arXiv 2402.11505): the mean product's best approximation of each shop's rank.

W* = U S V^T; the server keeps the first r components, r the highest rank of any shop: A = V^T, B = U S / s. A shop of
a lower rank gets the first of these, in its own s, which is the best approximation of W* of that rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.aggregation import TURNED, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import normalised
from ecc_fed.federation.aggregation.low_rank import best_pair, mean_products, svd
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.shop_ranks import (
    in_own_rank,
    in_own_scale,
    known_ranks,
    remembered,
    remembered_factors,
    unscaled,
)
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FlexLora:
    """Everything trains and travels; ranks may differ.

    Args:
        weights: how much each shop counts.
        scale_at: the s of an adapter of a rank: the run's.
    """

    weights: Weights = field(default_factory=ByExamples)
    scale_at: Callable[[int], float] = unscaled
    mixed_ranks: ClassVar[bool] = True
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round; an SVD's factors come back."""
        return TURNED

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The components that the shop's rank has room for."""
        return in_own_scale(in_own_rank(state, shop_id, self.scale_at), state, shop_id)

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The best approximation of the mean product of the highest rank."""
        weights = self.weights(updates)
        scalars = remembered(state, updates) | remembered_factors(state, updates, self.scale_at)
        rank = max(known_ranks(scalars).values())
        scale = self.scale_at(rank)
        adapter = {}
        for (name_a, name_b), product in mean_products(updates, normalised(weights)):
            adapter[name_a], adapter[name_b] = best_pair(svd(product), rank, scale)
        report = report_on(adapter, state.adapter, updates, weights, scale=scale)
        return AggregatorState(adapter, scalars=scalars), report
