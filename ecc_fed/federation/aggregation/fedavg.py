"""FedAvg of factors (McMahan et al. 2017; for LoRA, FedIT, Zhang et al. 2023): A = sum p_i A_i, B = sum p_i B_i.

Not the mean of B A: the report says by how much. Adapters without factors (prefixes) are averaged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FedAvg:
    """Every tensor trains and travels; all shops are sent the same mean.

    Args:
        weights: how much each shop counts.
    """

    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = False

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round."""
        return WHOLE

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own, all drawn from one seed."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The mean."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of every tensor, in fp64 and in shop order."""
        weights = self.weights(updates)
        adapter = weighted_mean([update.adapter for update in updates], weights)
        return AggregatorState(adapter), report_on(adapter, state.adapter, updates, weights)
