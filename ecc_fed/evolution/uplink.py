"""How an update leaves a shop: what was asked for, in the scale it is served in, changed by the run's transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
        factors: by shop, by what its scale is multiplied, where its lora_alpha is its own.
    """

    scale_at: Callable[[int], float] = _unscaled
    transforms: tuple[UpdateTransform, ...] = ()
    shared_rank: int | None = None
    factors: Mapping[str, float] = field(default_factory=dict)

    def update(
        self,
        shop_id: str,
        server_round: int,
        start: AdapterState,
        end: AdapterState,
        num_examples: int,
        exchange: Exchange,
        control: AdapterState | None = None,
    ) -> AdapterUpdate:
        """The update of a round that turned the adapter `start` into `end`; without tensors where none goes up.

        `control` goes as it is: no transform changes it.
        """
        rank = adapter_rank(end)
        scale = 1.0 if rank is None else self.scale_at(rank) * self.factors.get(shop_id, 1.0)
        leaving = self.leaving(end, exchange)
        update = AdapterUpdate(shop_id, server_round, leaving, num_examples, scale, control=control or {})
        if exchange.up:
            for transform in self.transforms:
                update = transform.on_device(update, self.leaving(start, exchange))
        return update

    def leaving(self, adapter: AdapterState, exchange: Exchange) -> AdapterState:
        """Of an adapter, or of what is of its shape, the part that goes up."""
        return of_rank(select(adapter, exchange.up), self.shared_rank)
