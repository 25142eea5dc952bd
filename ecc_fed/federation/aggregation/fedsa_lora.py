"""FedSA-LoRA (Guo et al. 2025, arXiv 2410.01463): A is shared, B stays at home.

A, the paper finds, learns what shops have in common, and B what is a shop's own. Every shop serves its own B with
the mean of A; there is no adapter for all, and so no error of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.aggregation import EVERYTHING, LORA_A, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FedSaLora:
    """Both factors train; A alone is sent and averaged.

    Args:
        weights: how much each shop counts.
    """

    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """Everything trains, A goes up."""
        return Exchange(EVERYTHING, LORA_A)

    def start(self) -> AggregatorState:
        """Nothing: every shop draws A from the run's one seed."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The mean of A; the shop's B is its own."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of A."""
        weights = self.weights(updates)
        adapter = weighted_mean([update.adapter for update in updates], weights)
        return AggregatorState(adapter), report_on(adapter, state.adapter, updates, weights)
