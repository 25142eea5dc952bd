"""FedRot-LoRA (2026, arXiv 2602.23638): the shops' factors are turned onto the last global ones, then averaged.

B A = (B R^T) (R A) for every orthogonal R, so shops may hold the same product by factors that average to nothing. R_i
minimises ||R A_i - A||^2 + ||B_i R^T - B||^2 (Procrustes; Schoenemann 1966): with the SVD
A A_i^T + B^T B_i = U S V^T it is R_i = U V^T. A and B are the server's last factors, in the first round the plain
means of the factors, as all shops start from the same. No shop's product changes; the mean's error shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, AggregateReport, AggregatorState, Exchange, low_rank_pairs
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import normalised, weighted_mean
from ecc_fed.federation.aggregation.low_rank import Matrix
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FedRotLora:
    """Every tensor trains and travels.

    Args:
        weights: how much each shop counts.
    """

    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round."""
        return WHOLE

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The mean of the turned factors."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of the turned factors."""
        weights = self.weights(updates)
        onto = state.adapter or weighted_mean([update.adapter for update in updates], weights)
        adapter = {}
        for name_a, name_b in low_rank_pairs(onto):
            a, b = onto[name_a].astype(np.float64), onto[name_b].astype(np.float64)
            mean_a, mean_b = np.zeros_like(a), np.zeros_like(b)
            for update, share in zip(updates, normalised(weights), strict=True):
                own_a, own_b = update.adapter[name_a].astype(np.float64), update.adapter[name_b].astype(np.float64)
                rotation = rotation_onto(own_a, own_b, a, b)
                mean_a += share * (rotation @ own_a)
                mean_b += share * (own_b @ rotation.T)
            adapter[name_a], adapter[name_b] = mean_a.astype(np.float32), mean_b.astype(np.float32)
        return AggregatorState(adapter), report_on(adapter, state.adapter, updates, weights)


def rotation_onto(own_a: Matrix, own_b: Matrix, a: Matrix, b: Matrix) -> Matrix:
    """The orthogonal R (r, r) that brings R A_i closest to A and B_i R^T closest to B."""
    u, _, vt = np.linalg.svd(a @ own_a.T + b.T @ own_b)
    return np.asarray(u @ vt)
