"""Which rank and which scale each shop's adapter has, as far as its updates have told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ecc_fed.core.aggregation import LORA_B, AdapterUpdate, AggregatorState, adapter_rank, matches
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.low_rank import cut

ScaleAt = Callable[[int], float]

_RANK = "rank/"
# By what a shop's scale is multiplied against that of others of its rank.
_FACTOR = "factor/"


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


def remembered_factors(state: AggregatorState, updates: Sequence[AdapterUpdate], scale_at: ScaleAt) -> dict[str, float]:
    """The state's factors by their names among scalars, with those of these updates."""
    known = {name: value for name, value in state.scalars.items() if name.startswith(_FACTOR)}
    return known | {f"{_FACTOR}{each.shop_id}": each.scale / scale_at(each.rank or 0) for each in updates}


def in_own_scale(adapter: AdapterState | None, state: AggregatorState, shop_id: str) -> AdapterState | None:
    """An adapter in the scale of its rank, for a shop that multiplies that by a factor of its own: B is divided by it.

    None where there is none, or where the shop's factor is not known while others' differ.
    """
    factors = {name: value for name, value in state.scalars.items() if name.startswith(_FACTOR)}
    common = len({round(value, 9) for value in factors.values()}) == 1
    factor = factors.get(_FACTOR + shop_id, next(iter(factors.values()), 1.0) if common or not factors else None)
    if adapter is None or factor is None:
        return None
    if abs(factor - 1) < 1e-9:
        return adapter
    return {
        name: (tensor / np.float64(factor)).astype(np.float32) if matches(name, LORA_B) else tensor
        for name, tensor in adapter.items()
    }
