"""LoRA-FAIR (Bian et al. 2024, arXiv 2411.14961): the mean of the factors, B corrected towards the mean product.

A = sum p_i A_i, B = sum p_i B_i; then dB so that s (B + dB) A comes close to W*. The paper minimises a distance of
the two with a penalty on dB by gradient descent; with the Frobenius norm as the distance the minimum of

    || W* / s - (B + dB) A ||^2 + mu ||dB||^2

is dB = (W* / s - B A) A^T (A A^T + mu I)^-1, whose W* A^T = sum p_i s_i B_i (A_i A^T) needs no large matrix. mu is
`penalty` times the mean of A A^T's diagonal. What of W* lies outside A's rows no dB reaches: nearly exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, AggregateReport, AggregatorState, Exchange, low_rank_pairs
from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import mean_scale, normalised, weighted_mean
from ecc_fed.federation.aggregation.low_rank import weighted_parts
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class LoraFair:
    """Every tensor trains and travels.

    Args:
        penalty: on dB, 0 or more; 0 is the best B for the mean A.
        weights: how much each shop counts.

    Raises:
        ConfigError: a value out of range.
    """

    penalty: float
    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.penalty >= 0, "strategy.penalty", self.penalty, "0 or more")

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round."""
        return WHOLE

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """B + dB, and the mean of A."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of both factors, B corrected."""
        weights = self.weights(updates)
        adapter = dict(weighted_mean([update.adapter for update in updates], weights))
        scale = mean_scale([update.scale for update in updates], weights)
        for name_a, name_b in low_rank_pairs(adapter):
            a, b = adapter[name_a].astype(np.float64), adapter[name_b].astype(np.float64)
            parts = weighted_parts(updates, normalised(weights), (name_a, name_b))
            gram = a @ a.T
            missing = sum(part.left @ (part.right @ a.T) for part in parts) / scale - b @ gram
            damped = gram + self.penalty * np.mean(np.diag(gram)) * np.eye(len(gram))
            # Least squares also where rows of A depend on each other.
            adapter[name_b] = (b + np.linalg.lstsq(damped, missing.T, rcond=None)[0].T).astype(np.float32)
        return AggregatorState(adapter), report_on(adapter, state.adapter, updates, weights)
