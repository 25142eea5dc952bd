"""FedSVD (NeurIPS 2025): B trains and is averaged; the server then turns A after what was learned.

With one A for all the mean of B is exact, as in FFA-LoRA. B A = U S V^T, and A <- V^T, B <- U S: the same product by
other factors, A with orthonormal rows, so that A moves from round to round though no shop trains it. s plays no part
in that, as it multiplies both products alike.
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
    select,
)
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.low_rank import Factors, best_pair, svd
from ecc_fed.federation.aggregation.report import report_on, unknown_a
from ecc_fed.federation.aggregation.weights import ByExamples, Weights


@dataclass(frozen=True, slots=True)
class FedSvd:
    """B goes up, both factors go down; in the first round A goes up as well, from where the server knows it.

    Until it does, A is everywhere as it was drawn, and the mean of B goes down as it is.

    Args:
        weights: how much each shop counts.
    """

    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """B trains; A is sent once; both come back turned."""
        return Exchange(LORA_B, EVERYTHING if server_round == 1 else LORA_B, turns=True)

    def start(self) -> AggregatorState:
        """Nothing: every shop draws A from the run's one seed."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """Both factors, once the server knows them."""
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The mean of B with the common A, as U S and V^T."""
        weights = self.weights(updates)
        mean = weighted_mean([update.adapter for update in updates], weights)
        known = select(mean, LORA_A) or select(state.adapter or {}, LORA_A)
        pairs = low_rank_pairs({**known, **mean})
        adapter = refactored({**known, **mean}) if pairs else mean
        report = report_on(adapter, state.adapter, updates, weights, common=known or unknown_a(mean))
        return AggregatorState(adapter), report


def refactored(adapter: AdapterState) -> AdapterState:
    """The same products with A = V^T and B = U S, singular values falling."""
    turned = {}
    for name_a, name_b in low_rank_pairs(adapter):
        found = svd(Factors(adapter[name_b].astype(np.float64), adapter[name_a].astype(np.float64)))
        turned[name_a], turned[name_b] = best_pair(found, len(adapter[name_a]), 1.0)
    return turned
