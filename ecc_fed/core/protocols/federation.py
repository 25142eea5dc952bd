"""What a federation is made of: who exchanges when, how updates become one, what happens to them on their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.records import AdapterState, AgreedReply, QuerySource


class Arm(Protocol):
    """Who exchanges when, over the server rounds of one run. Made of YAML's values and the run's `server_rounds`.

    One whose shops learn as one device, from all their dialogues, has a `pools` that is True, besides.
    """

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def evolves(self) -> bool:
        """False: nothing is ever learned, not even before the first round."""
        ...

    @property
    def trains(self) -> bool:
        """False: rounds are lived and a shop's experience grows, but no adapter is ever fine-tuned."""
        ...

    @property
    def server_rounds(self) -> int:
        """How many rounds the shops evolve, counted from 1; 0 where nothing is learned."""
        ...

    @property
    def evaluates_base(self) -> bool:
        """Whether the bare base is evaluated before the first round."""
        ...

    def starts_from_server(self, server_round: int) -> bool:
        """Whether every shop begins the round from what the server holds for it.

        Otherwise a shop goes on with its own adapter once it has trained on from the server's latest,
        and is sent that until then. The final evaluation counts as round `server_rounds + 1`.
        """
        ...

    def uploads(self, server_round: int) -> bool:
        """Whether shops send updates after the round, which the server aggregates."""
        ...


class Agreement(Protocol):
    """How the shops' replies to public queries become one reply to each."""

    def agree(self, queries: Sequence[str], updates: Sequence[AdapterUpdate]) -> tuple[AgreedReply, ...]:
        """One for every query, in their order, of replies by whoever learned from anything.

        Every update has as many `replies`; a blank one says nothing. The order of the updates changes nothing.
        """
        ...


@runtime_checkable
class TeachesByReplies(Protocol):
    """What an `Arm` has besides, whose shops and server teach each other by replies to public queries."""

    @property
    def public_share(self) -> float:
        """Of the examples that a shop trains on, so many are agreed replies, 0 to 1."""
        ...

    @property
    def queries(self) -> QuerySource:
        """Where they come from."""
        ...

    @property
    def agreement(self) -> Agreement:
        """How replies become one."""
        ...

    def asks(self, server_round: int) -> bool:
        """Whether shops answer the queries after the round."""
        ...


class Aggregator(Protocol):
    """How updates become one: pure functions of a state, on tensors, without Flower.

    Made of YAML's values and, where the class takes them, of `adapter_seed`, from which every shop of the run draws
    its fresh adapter, `scale_at`, the s of W + s B A by an adapter's rank, and `server_rounds`.
    """

    @property
    def mixed_ranks(self) -> bool:
        """Takes updates of different ranks and scales in one round, each shop's own adapter in its own."""
        ...

    @property
    def single_updates(self) -> bool:
        """Must see every shop's update by itself; otherwise the mean of all will do."""
        ...

    @property
    def pairs_only(self) -> bool:
        """Takes adapters of low-rank pairs A and B alone; otherwise any tensors, as of a prefix."""
        ...

    def exchange(self, server_round: int) -> Exchange:
        """Which tensors the shops train in the round, and which they send after it."""
        ...

    def start(self) -> AggregatorState:
        """The state before the first round."""
        ...

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The tensors that a shop is sent, in the scale of its own adapter; None: nothing yet.

        The shop puts them in the place of its own of the same names. What several shops are sent alike is best
        made of the same tensors: it is then packed once.
        """
        ...

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The state after a round's updates, which come in shop order; at least one has examples.

        Where `single_updates` is False, `updates` may be one alone that stands for all: their mean.

        Raises:
            TooFewUpdates: of so few nothing can be made; the round is skipped.
            ConfigError: updates that the method cannot take, such as mixed ranks, by shop.
        """
        ...


@runtime_checkable
class NeedsShops(Protocol):
    """What an `Aggregator` that can do nothing with a few updates has besides: it is asked before the run starts."""

    def check_count(self, count: int) -> None:
        """Whether so many updates are enough for a round.

        Raises:
            TooFewUpdates: they are not; says how many are.
        """
        ...


class UpdateTransform(Protocol):
    """What is done to an update on its way to the server: clipping, noise, masks.

    Transforms work in the order given on the device, and in reverse order on the server. Names, shapes and fp32
    stay: the server holds every reply against its own settings before a transform sees any.
    """

    @property
    def sums_only(self) -> bool:
        """Hides every single update from the server, which can read their sum alone."""
        ...

    def on_device(self, update: AdapterUpdate, start: AdapterState) -> AdapterUpdate:
        """The update as it leaves; `start` are the same tensors as they were before the round."""
        ...

    def on_server(self, updates: Sequence[AdapterUpdate]) -> list[AdapterUpdate]:
        """The updates as the aggregator gets them, in shop order.

        With `sums_only` it is one update for all: the mean weighted as the aggregator weighs, with
        `num_examples` of all.
        """
        ...
