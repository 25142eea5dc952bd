"""An aggregator, an arm and a transform of a user's own, given by class alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ecc_fed.core.aggregation import (
    EVERYTHING,
    LORA_A,
    LORA_B,
    WHOLE,
    AdapterUpdate,
    AggregateReport,
    AggregatorState,
    Exchange,
)
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from tests.federation.fakes import A, B


def padded(adapter: AdapterState, rank: int) -> dict[str, np.ndarray]:
    """Zeros for the missing rank; what is above `rank` is cut off."""
    a, b = (np.zeros(shape, np.float32) for shape in ((rank, adapter[A].shape[1]), (adapter[B].shape[0], rank)))
    kept = min(rank, len(adapter[A]))
    a[:kept], b[:, :kept] = adapter[A][:kept], adapter[B][:, :kept]
    return {A: a, B: b}


class ZeroPadding:
    """Takes mixed ranks: pads, averages, and cuts what goes down to each shop's own rank."""

    mixed_ranks = True
    single_updates = True
    pairs_only = False

    def exchange(self, server_round: int) -> Exchange:
        return WHOLE

    def start(self) -> AggregatorState:
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        rank = state.scalars.get(shop_id)
        return None if rank is None or state.adapter is None else padded(state.adapter, int(rank))

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        ranks = {update.shop_id: len(update.adapter[A]) for update in updates}
        wide = [padded(update.adapter, max(ranks.values())) for update in updates]
        adapter = weighted_mean(wide, [float(update.num_examples) for update in updates])
        return AggregatorState(adapter, scalars={**state.scalars, **ranks}), AggregateReport(ranks=ranks)


class OneFactor:
    """Trains and sends B in odd rounds and A in even ones; everything that the server has goes down."""

    mixed_ranks = False
    single_updates = False
    pairs_only = False

    def exchange(self, server_round: int) -> Exchange:
        factor = LORA_B if server_round % 2 else LORA_A
        return Exchange(factor, factor)

    def start(self) -> AggregatorState:
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        mean = weighted_mean([update.adapter for update in updates], [1.0] * len(updates))
        return replace(state, adapter={**(state.adapter or {}), **mean}), AggregateReport()


class OnlyA:
    """Everything trains; A travels, B stays at home."""

    mixed_ranks = False
    single_updates = False
    pairs_only = False

    def exchange(self, server_round: int) -> Exchange:
        return Exchange(EVERYTHING, LORA_A)

    def start(self) -> AggregatorState:
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        return AggregatorState(weighted_mean([u.adapter for u in updates], [1.0] * len(updates))), AggregateReport()


class ServerMomentum:
    """Every shop is sent the adapter shifted by its own last step; the server keeps a momentum and a count."""

    mixed_ranks = False
    single_updates = True
    pairs_only = False

    def exchange(self, server_round: int) -> Exchange:
        return WHOLE

    def start(self) -> AggregatorState:
        return AggregatorState(scalars={"rounds": 0.0})

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        if state.adapter is None:
            return None
        own = state.shops.get(shop_id, {})
        return {name: t + np.float32(0.1) * own.get(name, np.zeros_like(t)) for name, t in state.adapter.items()}

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        mean = weighted_mean([update.adapter for update in updates], [1.0] * len(updates))
        before = state.adapter or {name: np.zeros_like(tensor) for name, tensor in mean.items()}
        step = {
            name: np.float32(0.5) * state.tensors.get(name, np.zeros_like(tensor)) + tensor - before[name]
            for name, tensor in mean.items()
        }
        adapter = {name: before[name] + tensor for name, tensor in step.items()}
        shops = {u.shop_id: {name: t - mean[name] for name, t in u.adapter.items()} for u in updates}
        return AggregatorState(adapter, step, shops, {"rounds": state.scalars["rounds"] + 1}), AggregateReport()


@dataclass(frozen=True)
class EverySecondRound:
    """Shops evolve by themselves and hand in every second round; the server's mean then goes down."""

    server_rounds: int
    name: str = "every_second_round"
    evolves: bool = True
    trains: bool = True
    evaluates_base: bool = False

    def starts_from_server(self, server_round: int) -> bool:
        return False

    def uploads(self, server_round: int) -> bool:
        return server_round % 2 == 0


@dataclass
class Masks:
    """Hides single updates: adds numbers to each that add up to 0 over the shops `masked`, and counts its work."""

    masked: tuple[str, ...]
    sums_only: bool = True
    seen: list[str] = field(default_factory=list)

    def on_device(self, update: AdapterUpdate, start: AdapterState) -> AdapterUpdate:
        index = self.masked.index(update.shop_id)
        sign = 0.0 if index == len(self.masked) - 1 and len(self.masked) % 2 else (-1.0) ** index
        # The server can add updates, so the device weighs its own.
        adapter = {
            name: (tensor * np.float32(update.num_examples) + np.float32(64 * sign)).astype(np.float32)
            for name, tensor in update.adapter.items()
        }
        return replace(update, adapter=adapter)

    def on_server(self, updates: Sequence[AdapterUpdate]) -> list[AdapterUpdate]:
        self.seen += [update.shop_id for update in updates]
        total = sum(update.num_examples for update in updates)
        mean = {
            name: (sum(u.adapter[name].astype(np.float64) for u in updates) / total).astype(np.float32)
            for name in updates[0].adapter
        }
        return [replace(updates[0], shop_id="all", adapter=mean, num_examples=total)]
