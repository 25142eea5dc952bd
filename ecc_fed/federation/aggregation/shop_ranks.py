"""Which rank each shop's adapter has, as far as its updates have told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ecc_fed.core.aggregation import AdapterUpdate, AggregatorState, adapter_rank
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.low_rank import cut

ScaleAt = Callable[[int], float]

_RANK = "rank/"


def unscaled(rank: int) -> float:
    """The s of adapters without one."""
    return 1.0


def remembered(state: AggregatorState, updates: Sequence[AdapterUpdate]) -> dict[str, float]:
    """The state's scalars, with the ranks of these updates."""
    return {**state.scalars, **{f"{_RANK}{update.shop_id}": float(update.rank or 0) for update in updates}}


def known_ranks(scalars: Mapping[str, float]) -> dict[str, int]:
    """By shop."""
    return {name.removeprefix(_RANK): int(rank) for name, rank in scalars.items() if name.startswith(_RANK)}


def in_own_rank(state: AggregatorState, shop_id: str, scale_at: ScaleAt) -> AdapterState | None:
    """The server's adapter, whose ranks come in falling weight, cut to the shop's rank and in its scale.

    None where the server has none, or does not know the shop's rank while others' ranks differ.
    """
    if state.adapter is None:
        return None
    ranks, whole = known_ranks(state.scalars), adapter_rank(state.adapter) or 0
    rank = ranks.get(shop_id)
    if rank is None and len(set(ranks.values())) == 1:
        rank = whole
    if rank is None or rank == whole:
        return state.adapter if rank == whole else None
    return cut(state.adapter, rank, scale_at(whole) / scale_at(rank))
