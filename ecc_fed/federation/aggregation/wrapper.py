"""An aggregator around another, which is the same as the other but for how updates become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ecc_fed.core.aggregation import AggregatorState, Exchange
from ecc_fed.core.protocols import Aggregator, NeedsShops
from ecc_fed.core.records import AdapterState


@dataclass(frozen=True, kw_only=True)
class Wrapper:
    """All but `aggregate`.

    Args:
        mean: makes one adapter of the updates.
    """

    mean: Aggregator

    @property
    def mixed_ranks(self) -> bool:
        """As the mean."""
        return self.mean.mixed_ranks

    @property
    def single_updates(self) -> bool:
        """As the mean."""
        return self.mean.single_updates

    @property
    def pairs_only(self) -> bool:
        """As the mean."""
        return self.mean.pairs_only

    def exchange(self, server_round: int) -> Exchange:
        """As the mean."""
        return self.mean.exchange(server_round)

    def check_count(self, count: int) -> None:
        """As the mean, where it minds."""
        if isinstance(self.mean, NeedsShops):
            self.mean.check_count(count)

    def start(self) -> AggregatorState:
        """As the mean."""
        return self.mean.start()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """As the mean, of the state after this aggregator's work."""
        return self.mean.downlink(state, shop_id)


def layers(aggregator: Aggregator) -> Iterator[Aggregator]:
    """An aggregator, and those that it is made around, from the outside in."""
    yield aggregator
    if isinstance(aggregator, Wrapper):
        yield from layers(aggregator.mean)
