"""A user's own arm, aggregator, agreement and transform of updates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.records import AdapterState, AgreedReply


@dataclass(frozen=True)
class MeetEvery:
    """Shops exchange every `rounds` rounds, and go on by themselves in between."""

    server_rounds: int
    rounds: int
    name: str = "meet_every"
    evolves: bool = True
    trains: bool = True
    evaluates_base: bool = False

    def starts_from_server(self, server_round: int) -> bool:
        return self.uploads(server_round)

    def uploads(self, server_round: int) -> bool:
        return server_round % self.rounds == 0


class Median:
    """The median of every number."""

    mixed_ranks = False
    single_updates = True
    pairs_only = False

    def exchange(self, server_round: int) -> Exchange:
        return WHOLE

    def start(self) -> AggregatorState:
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        return state.adapter

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        names = updates[0].adapter
        stacks = {name: np.stack([update.adapter[name] for update in updates]) for name in names}
        medians = {name: np.median(stack, axis=0).astype(np.float32) for name, stack in stacks.items()}
        return AggregatorState(medians), AggregateReport()


@dataclass(frozen=True)
class Shrink:
    """Every update is multiplied by `factor`."""

    factor: float
    sums_only: bool = False

    def on_device(self, update: AdapterUpdate, start: AdapterState) -> AdapterUpdate:
        shrunk = {n: (start[n] + self.factor * (t - start[n])).astype(np.float32) for n, t in update.adapter.items()}
        return replace(update, adapter=shrunk)

    def on_server(self, updates: Sequence[AdapterUpdate]) -> list[AdapterUpdate]:
        return list(updates)


@dataclass(frozen=True)
class Longest:
    """The longest reply, with a word behind it."""

    ending: str

    def agree(self, queries: Sequence[str], updates: Sequence[AdapterUpdate]) -> tuple[AgreedReply, ...]:
        said = zip(queries, zip(*(update.replies for update in updates), strict=True), strict=True)
        return tuple(
            AgreedReply(query, max(replies, key=len) + self.ending, None, len(replies)) for query, replies in said
        )


class Untold:
    """Aggregates as `Median` does, and does not say what it needs."""

    exchange, start, downlink, aggregate = Median.exchange, Median.start, Median.downlink, Median.aggregate
