"""FFA-LoRA (Sun et al. 2024, arXiv 2403.12313): A stays as it was drawn, the same everywhere; B trains and travels.

With one A for all, the mean of B is the mean of B A: exact, and with half the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.aggregation import LORA_B, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.report import report_on, unknown_a
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FfaLora:
    """B alone is trained, sent and averaged. The server never sees A, so an error is that of B.

    Args:
        weights: how much each shop counts.
    """

    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """B, in every round."""
        return Exchange(LORA_B, LORA_B)

    def start(self) -> AggregatorState:
        """Nothing: every shop draws A from the run's one seed."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The mean of B."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of B."""
        weights = self.weights(updates)
        adapter = weighted_mean([update.adapter for update in updates], weights)
        return AggregatorState(adapter), report_on(adapter, state.adapter, updates, weights, common=unknown_a(adapter))
