"""What an aggregator tells of a round, the same for every method."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, adapter_rank, tensor_bytes
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import mean_scale, update_norm
from ecc_fed.federation.aggregation.product_error import product_error


def report_on(
    adapter: AdapterState,
    before: AdapterState | None,
    updates: Sequence[AdapterUpdate],
    weights: Sequence[float],
) -> AggregateReport:
    """The report on an `adapter` that was made of `updates` and takes the place of `before`.

    The shops are taken to serve it each in its own scale.
    """
    scales = [update.scale for update in updates]
    error = product_error(adapter, mean_scale(scales, weights), [update.adapter for update in updates], scales, weights)
    return AggregateReport(
        relative_error=error.total,
        module_errors=error.modules,
        ranks={update.shop_id: update.rank for update in updates if update.rank is not None},
        aggregate_rank=adapter_rank(adapter),
        update_bytes={update.shop_id: tensor_bytes(update.adapter) for update in updates},
        update_norm=update_norm(adapter, before) if before and before.keys() == adapter.keys() else None,
    )
