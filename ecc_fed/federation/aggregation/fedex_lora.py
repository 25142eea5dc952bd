"""FedEx-LoRA (Singhal et al. 2024, arXiv 2410.09432): factors are averaged, and what that misses is made up for.

A = sum p_i A_i, B = sum p_i B_i, and the residual W* - s B A, which the paper adds to the base: exact. Here it becomes
the adapter's frozen part, the same everywhere, which grows (`frozen_sum`). It must stack: the state and what goes down
grow with the shops and the rounds, up to `bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ecc_fed.core.aggregation import (
    EVERYTHING,
    LORA_A,
    LORA_B,
    AdapterUpdate,
    AggregateReport,
    AggregatorState,
    Exchange,
    low_rank_pairs,
)
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import mean_scale, normalised, weighted_mean
from ecc_fed.federation.aggregation.frozen_sum import Bound, frozen_sum, report_on_whole
from ecc_fed.federation.aggregation.low_rank import Factors, stacked, weighted_parts
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FedExLora:
    """Own pairs go up; their means and the frozen part go down.

    Args:
        bound: of the frozen part.
        weights: how much each shop counts.
    """

    bound: Bound
    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """A shop's own pairs train and go up."""
        return Exchange(EVERYTHING, (*LORA_A, *LORA_B))

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The means and the frozen part."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The means of the factors, and what was frozen with this round's residual stacked upon it."""
        weights = self.weights(updates)
        shares, sums = normalised(weights), {}
        scale = mean_scale([update.scale for update in updates], weights)
        means = weighted_mean([update.adapter for update in updates], weights)
        for name_a, name_b in low_rank_pairs(means):
            averaged = Factors(-scale * means[name_b].astype(np.float64), means[name_a].astype(np.float64))
            parts = weighted_parts(updates, shares, (name_a, name_b))
            sums[name_a] = stacked([*frozen_sum(state.adapter, name_a), *parts, averaged])
        adapter = {**means, **self.bound.applied(sums)}
        return AggregatorState(adapter), report_on_whole(adapter, scale, state.adapter, updates, weights)
