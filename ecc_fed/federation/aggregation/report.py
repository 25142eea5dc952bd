"""What an aggregator tells of a round, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ecc_fed.core.aggregation import LORA_B, AdapterUpdate, AggregateReport, adapter_rank, select, tensor_bytes
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import mean_scale, update_norm
from ecc_fed.federation.aggregation.product_error import product_error

_NOTHING: Mapping[str, np.ndarray] = {}


def report_on(
    adapter: AdapterState,
    before: AdapterState | None,
    updates: Sequence[AdapterUpdate],
    weights: Sequence[float],
    *,
    scale: float | None = None,
    common: AdapterState = _NOTHING,
) -> AggregateReport:
    """The report on an `adapter` that was made of `updates` and takes the place of `before`.

    Args:
        adapter: the new one.
        before: the one before; None: there was none.
        updates: what it was made of.
        weights: how much each counts.
        scale: in which `adapter` is served; None: by every shop in its own.
        common: tensors of the updates that no shop sent, since all have them alike.
    """
    scales = [update.scale for update in updates]
    served = mean_scale(scales, weights) if scale is None else scale
    whole = [{**common, **update.adapter} for update in updates] if common else [u.adapter for u in updates]
    error = product_error({**common, **adapter} if common else adapter, served, whole, scales, weights)
    return AggregateReport(
        relative_error=error.total,
        module_errors=error.modules,
        ranks={update.shop_id: update.rank for update in updates if update.rank is not None},
        aggregate_rank=adapter_rank(adapter),
        update_bytes={update.shop_id: tensor_bytes(update.adapter) for update in updates},
        update_norm=update_norm(adapter, before) if before and _same_shapes(adapter, before) else None,
    )


def _same_shapes(adapter: AdapterState, before: AdapterState) -> bool:
    shapes = {name: tensor.shape for name, tensor in adapter.items()}
    return shapes == {name: tensor.shape for name, tensor in before.items()}


def unknown_a(adapter: AdapterState) -> AdapterState:
    """Identities in the place of every B's A, which all shops have alike and the server has never seen.

    An error of B A is then told as that of B: zero in the one where it is zero in the other.
    """
    factors = select(adapter, LORA_B)
    return {name.replace(".lora_B.", ".lora_A."): np.eye(b.shape[1], dtype=np.float32) for name, b in factors.items()}
