"""HetLoRA (Cho et al. 2024, arXiv 2401.06432): factors of different ranks, filled up with zeros and averaged.

Every shop's A_i and (s_i / s) B_i are filled up with zeros to the highest rank and averaged apart; a shop is sent the
first of the mean's rows and columns that its rank has room for, in its own s_i. Not the mean of B A. There is no
official code; the paper's own weights, which follow the size of an update, are not among the weights here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, AggregateReport, AggregatorState, Exchange, low_rank_pairs
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import normalised
from ecc_fed.federation.aggregation.low_rank import Matrix, cut
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
class HetLora:
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
        """Everything, in every round."""
        return WHOLE

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """As much of the mean as the shop's rank has room for."""
        return in_own_scale(in_own_rank(state, shop_id, self.scale_at), state, shop_id)

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of the factors, filled up to the highest rank."""
        weights = self.weights(updates)
        scalars = remembered(state, updates) | remembered_factors(state, updates, self.scale_at)
        rank = max(known_ranks(scalars).values())
        scale = self.scale_at(rank)
        sums: dict[str, Matrix] = {}
        for names in low_rank_pairs(updates[0].adapter):
            for update, share in zip(updates, normalised(weights), strict=True):
                wide = cut({name: update.adapter[name] for name in names}, rank, update.scale / scale)
                for name, tensor in wide.items():
                    sums[name] = sums.get(name, np.zeros(tensor.shape)) + share * tensor.astype(np.float64)
        adapter = {name: tensor.astype(np.float32) for name, tensor in sums.items()}
        report = report_on(adapter, state.adapter, updates, weights, scale=scale)
        return AggregatorState(adapter, scalars=scalars), report
