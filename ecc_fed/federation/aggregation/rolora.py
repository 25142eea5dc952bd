"""RoLoRA (Chen et al. 2025, arXiv 2502.01755): the factors take turns.

In odd rounds B trains and is averaged while A stays, in even rounds the other way round. With one factor the same
everywhere, the mean of the other is the mean of B A: exact within every round. B begins, as it starts at zero:
A's gradient is zero until B has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.aggregation import LORA_A, LORA_B, AdapterUpdate, AggregateReport, AggregatorState, Exchange, select
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.report import report_on, unknown_a
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class RoLora:
    """One factor goes up; all that the server has goes down, so that a missed round leaves no factor behind.

    Args:
        weights: how much each shop counts.
    """

    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """B in odd rounds, A in even ones."""
        factor = LORA_B if server_round % 2 else LORA_A
        return Exchange(factor, factor)

    def start(self) -> AggregatorState:
        """Nothing: every shop draws A from the run's one seed, and B is zero."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The latest mean of each factor that has been averaged."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The weighted mean of the factor that came; the other stays bit for bit."""
        weights = self.weights(updates)
        mean = weighted_mean([update.adapter for update in updates], weights)
        before = state.adapter or {}
        idle = {name: tensor for name, tensor in before.items() if name not in mean}
        # In the first rounds the server has not seen the idle factor; a B that came is then compared by itself.
        common = idle or unknown_a(select(mean, LORA_B))
        report = report_on(mean, select(before, tuple(mean)), updates, weights, common=common)
        return AggregatorState({**before, **mean}), report
