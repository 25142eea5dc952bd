"""FLoRA (Wang et al. 2024, arXiv 2409.05976): what was learned is added to the base, and adapters start anew.

The sum p_i s_i B_i A_i of a round is stacked, [p_1 s_1 B_1, p_2 s_2 B_2, ...] [A_1; A_2; ...], and added as it is:
exact. Here it becomes the adapter's frozen part, which grows (`frozen_sum`). Every shop's own A is drawn anew each
round, the same everywhere, and its B is zero. It must stack: the state and what goes down grow with the shops and
the rounds, up to `bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

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
from ecc_fed.core.frozen_part import frozen_part
from ecc_fed.core.records import AdapterState
from ecc_fed.core.seeding import derive_seed
from ecc_fed.end_model.adapters.tensors import fresh_adapter
from ecc_fed.federation.aggregation.averaging import normalised
from ecc_fed.federation.aggregation.frozen_sum import Bound, frozen_sum, report_on_whole
from ecc_fed.federation.aggregation.low_rank import cut, stacked, weighted_parts
from ecc_fed.federation.aggregation.shop_ranks import known_ranks, remembered
from ecc_fed.federation.aggregation.weights import ByExamples, Weights

_RESTARTS = "restarts"


@dataclass(frozen=True, slots=True)
class Flora:
    """Own pairs go up; fresh ones and the frozen part go down. Ranks may differ.

    Args:
        bound: of the frozen part.
        adapter_seed: of the fresh adapters.
        weights: how much each shop counts.
    """

    bound: Bound
    adapter_seed: int
    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = True
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = True

    def exchange(self, server_round: int) -> Exchange:
        """A shop's own pairs train and go up; other ones come back."""
        return Exchange(EVERYTHING, (*LORA_A, *LORA_B), turns=True)

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """A fresh adapter of the shop's rank and the frozen part; the latter alone to a shop of unknown rank."""
        if state.adapter is None:
            return None
        ranks = known_ranks(state.scalars)
        highest, frozen = max(ranks.values()), frozen_part(state.adapter)
        rank = ranks.get(shop_id, highest if len(set(ranks.values())) == 1 else 0)
        if rank == highest:
            return state.adapter
        return {**cut(state.adapter, rank, 1.0), **frozen} if rank else frozen

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """What was frozen, with the round's products stacked upon it; and the next fresh adapter."""
        weights = self.weights(updates)
        shares, sums = normalised(weights), {}
        for names in low_rank_pairs(updates[0].adapter):
            parts = weighted_parts(updates, shares, names)
            sums[names[0]] = stacked([*frozen_sum(state.adapter, names[0]), *parts])
        scalars = remembered(state, updates)
        scalars[_RESTARTS] = scalars.get(_RESTARTS, 0.0) + 1
        rank = max(known_ranks(scalars).values())
        shapes = {
            name: (rank, tensor.shape[1]) if name in sums else (tensor.shape[0], rank)
            for name, tensor in updates[0].adapter.items()
        }
        fresh = fresh_adapter(shapes, derive_seed(self.adapter_seed, _RESTARTS, int(scalars[_RESTARTS])))
        adapter = {**fresh, **self.bound.applied(sums)}
        # B is zero: what scale the fresh pairs are served in is nothing to the sum.
        report = report_on_whole(adapter, 1.0, state.adapter, updates, weights)
        return AggregatorState(adapter, scalars=scalars), report
