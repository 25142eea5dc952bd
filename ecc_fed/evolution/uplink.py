"""How an update leaves a shop: what was asked for, in the scale it is served in, changed by the run's transforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecc_fed.core.aggregation import AdapterUpdate, Exchange, adapter_rank, select
from ecc_fed.core.protocols import UpdateTransform
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.tensors import of_rank


def _unscaled(rank: int) -> float:
    return 1.0


@dataclass(frozen=True)
class Uplink:
    """The device's end of the way to the server.

    Attributes:
        scale_at: the s of W + s B A for an adapter of a rank.
        transforms: applied in this order.
        shared_rank: of every pair so many ranks leave, the first; None: all.
    """

    scale_at: Callable[[int], float] = _unscaled
    transforms: tuple[UpdateTransform, ...] = ()
    shared_rank: int | None = None

    def update(
        self,
        shop_id: str,
        server_round: int,
        start: AdapterState,
        end: AdapterState,
        num_examples: int,
        exchange: Exchange,
    ) -> AdapterUpdate:
        """The update of a round that turned the adapter `start` into `end`; without tensors where none goes up."""
        rank = adapter_rank(end)
        scale = 1.0 if rank is None else self.scale_at(rank)
        update = AdapterUpdate(shop_id, server_round, self._leaving(end, exchange), num_examples, scale)
        if exchange.up:
            for transform in self.transforms:
                update = transform.on_device(update, self._leaving(start, exchange))
        return update

    def _leaving(self, adapter: AdapterState, exchange: Exchange) -> AdapterState:
        return of_rank(select(adapter, exchange.up), self.shared_rank)
