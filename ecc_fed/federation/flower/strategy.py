"""The one Flower `Strategy`, around any aggregator: what goes to which shop, and what becomes of the replies.

The aggregator works on adapters alone; here they are packed, read (each once in a round) and checked.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ecc_fed.core.aggregation import (
    AdapterUpdate,
    AggregateReport,
    AggregatorState,
    Shapes,
    matches,
    select,
    without_examples,
)
from ecc_fed.core.errors import TooFewUpdates
from ecc_fed.core.protocols import TeachesByReplies
from ecc_fed.core.records import AdapterState, AgreedReply, EvaluationReport, PublicSet
from ecc_fed.federation.norms import norm_ratios, update_norms
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationError, ServerState, ShopRound
from ecc_fed.federation.wire import checks, records
from ecc_fed.federation.wire.arrays import to_arrays
from ecc_fed.federation.wire.checks import RefusedReply
from ecc_fed.federation.wire.receiving import (
    check_transformed,
    receive,
    receive_evaluations,
    sort_replies,
    unusable_sum,
)
from ecc_fed.federation.wire.replies import Asked


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the replies to one round or evaluation, in shop order.

    `refused` holds the reason by shop; `skipped` says why the round left the server as it was;
    `aggregation` is the aggregator's report, `agreed` what the replies to the public queries became.
    """

    shops: Mapping[str, ShopRound] = field(default_factory=dict)
    evaluations: Mapping[str, EvaluationReport] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    skipped: str | None = None
    aggregation: AggregateReport | None = None
    agreed: tuple[AgreedReply, ...] = ()


def _identity(adapter: AdapterState) -> tuple[tuple[str, int], ...]:
    """The same for adapters of the very same tensors."""
    return tuple((name, id(tensor)) for name, tensor in adapter.items())


def _flags(large: Iterable[str], report: AggregateReport | None) -> dict[str, tuple[str, ...]]:
    """By shop, all that stands out of its update."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(large, ("large_norm",))
    for shop_id, flag in report.flags.items() if report is not None else ():
        found[shop_id] = (*found.get(shop_id, ()), flag)
    return found


class AdapterStrategy(Strategy):
    """The shops that the plan has taking part work in a fixed order; all are evaluated.

    Flower's own arguments and results have no room for a state that differs between shops: arrays and
    metrics stay empty there, `state` is what the next round starts from, and `outcome` tells what
    became of the last replies.

    Args:
        plan: arm, aggregator and transforms.
        shops: Flower's node ids -> shop ids, in the run's fixed order.
        state: goes on from here; None starts.

    Raises:
        ValueError: adapters travel, and the plan does not say what one must look like; or shops are to answer public
            queries, and it has none.
        ConfigError: the state's replies are to other public queries than the plan's.
    """

    def __init__(self, plan: FederationPlan, shops: Mapping[int, str], state: ServerState | None = None) -> None:
        if plan.federated and plan.limits.shapes is None:
            raise ValueError("the plan does not know the adapters' shapes (`expecting`), so no update could be checked")
        if not plan.queries and any(map(plan.asks, range(1, plan.arm.server_rounds + 1))):
            raise ValueError(f"arm {plan.arm.name} has shops answer public queries, and the plan has none")
        plan.check_agreed(() if state is None else state.agreed)
        self.plan = plan
        self.shops = shops
        # Echoed by every reply, so that none of another run counts.
        self.run = secrets.token_hex(8)
        self.state = state or ServerState(aggregator=plan.aggregator.start())
        self.outcome = Outcome()
        # Of the last round that was configured: Flower's node ids -> shop ids, and who dropped out of it.
        self._present = shops
        self.dropped: tuple[str, ...] = ()
        self._sent: dict[str, AdapterState] = {}
        self._phase = ""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A message for every shop that takes part, with what the arm and the aggregator have for it."""
        taking_part = self.plan.participation.of_round(server_round, self.shops.values())
        self._present = {node: shop for node, shop in self.shops.items() if shop in taking_part.present}
        self.dropped = taking_part.dropped
        self._sent = self._downlinks(server_round, self._present)
        exchange = self.plan.exchange(server_round)
        config = records.train_config(server_round, exchange)
        control = to_arrays(self.state.aggregator.control) if exchange.control else None
        public = self.plan.public_set(server_round, self.state.agreed)
        return self._messages(MessageType.TRAIN, config, self._sent, self._present, control, public)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Reads the replies; where this round uploads, the usable updates become the aggregator's new state.

        Where shops teach each other by replies, these become one to each public query. A round of which nothing can be
        made leaves those that there were.

        Raises:
            ConfigError: updates that the aggregator cannot take.
            FederationError: an aggregator that fails, or whose adapter is not finite; or an agreement that fails.
        """
        exchange = self.plan.exchange(server_round)
        up = exchange.up
        messages, refused = self._by_shop(replies, self._present)
        received = receive(messages, self._asked("train", server_round), exchange, self.plan, self._sent)
        norms: dict[str, float | None] = {}
        if not self.plan.sums_only:
            norms = update_norms(received.updates, self._sent)
        ratios = norm_ratios(received.updates, norms) if norms else {}
        large = self._too_large(ratios)
        refused |= {**received.refused, **(large if self.plan.limits.settings.norm_rule == "refuse" else {})}
        updates = [update for update in received.updates if update.shop_id not in refused]
        replied = {shop_id: update for shop_id, update in received.replied.items() if shop_id not in refused}
        state = replace(self.state, server_round=server_round)
        skipped, report = received.unusable, None
        agreed: tuple[AgreedReply, ...] = ()
        if replied and self.plan.asks(server_round):
            agreed = self._agree(server_round, list(replied.values()))
            state = replace(state, agreed=agreed or state.agreed)
        if not replied:
            skipped = "no shop gave a usable reply"
        elif not up:
            state = replace(state, adopted=state.adopted | replied.keys())
            if self.plan.asks(server_round) and not agreed:
                skipped = "no shop had an example to learn from"
        elif skipped is None and without_examples(updates):
            skipped = "no shop had an example to learn from"
        elif skipped is None:
            try:
                aggregator, report = self._aggregate(server_round, updates)
                state = replace(state, aggregator=aggregator, adopted=frozenset())
            except TooFewUpdates as error:
                skipped = str(error)
        self.state = state
        flags = _flags(large, report)
        shops = {
            shop_id: ShopRound(
                update.num_examples if self.plan.secure is None else None,
                update.metrics,
                norms.get(shop_id),
                ratios.get(shop_id),
                flags.get(shop_id, ()),
            )
            for shop_id, update in replied.items()
        }
        self.outcome = Outcome(shops, refused=refused, skipped=skipped, aggregation=report, agreed=agreed)
        return None, None

    def travelling(self, server_round: int) -> Shapes:
        """Names and shapes of what goes up after the round that was configured last, where all shops send alike."""
        up = self.plan.exchange(server_round).up
        own = {name: shape for name, shape in (self.plan.limits.shapes or {}).items() if matches(name, up)}
        sent = next(iter(self._sent.values()), {})
        return {**own, **checks.shapes_of(select(sent, up))}

    def aggregate_sum(
        self, server_round: int, shops: Sequence[str], update: AdapterUpdate | None, skipped: str | None = None
    ) -> None:
        """As `aggregate_train`, of one update that stands for all: nothing is known of any shop by itself.

        Args:
            server_round: which.
            shops: whose updates are in it.
            update: their mean; None where none of them had learned from anything.
            skipped: why there is no sum.

        Raises:
            ConfigError: an update that the aggregator cannot take.
            FederationError: an aggregator that fails, or whose adapter is not finite.
        """
        state, report = replace(self.state, server_round=server_round), None
        updates = [] if update is None else [update]
        if skipped is None and without_examples(updates):
            skipped = "no shop had an example to learn from"
        elif skipped is None:
            for transform in reversed(self.plan.transforms):
                updates = transform.on_server(updates)
            try:
                for each in updates:
                    check_transformed(each, self.travelling(server_round), self.plan)
                aggregator, report = self._aggregate(server_round, updates)
                state = replace(state, aggregator=aggregator, adopted=frozenset())
            except RefusedReply as error:
                skipped = unusable_sum(str(error))
            except TooFewUpdates as error:
                skipped = str(error)
        self.state = state
        self.outcome = Outcome({shop_id: ShopRound(None, {}) for shop_id in shops}, skipped=skipped, aggregation=report)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """For the bare base, nothing but the `config`; after the last round, what another would begin with."""
        self._phase = str(config[records.PHASE])
        downlinks = {} if self._phase == "base" else self._downlinks(server_round + 1, self.shops)
        return self._messages(MessageType.EVALUATE, config, downlinks, self.shops)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Reads the replies."""
        messages, refused = self._by_shop(replies, self.shops)
        told = self.plan.secure is None
        reports, unread = receive_evaluations(messages, self._asked(self._phase, server_round), told=told)
        self.outcome = Outcome(evaluations=reports, refused={**refused, **unread})
        return None

    def summary(self) -> None:
        """Nothing to log: the run's config says it all."""

    def _downlinks(self, server_round: int, shops: Mapping[int, str]) -> dict[str, AdapterState]:
        """What the server has for each shop before a round; nothing where the shop goes on with its own."""
        if not self.plan.federated:
            return {}
        everyone = self.plan.arm.starts_from_server(server_round)
        wanted = [shop_id for shop_id in shops.values() if everyone or shop_id not in self.state.adopted]
        found = {shop_id: self.plan.aggregator.downlink(self.state.aggregator, shop_id) for shop_id in wanted}
        return {shop_id: adapter for shop_id, adapter in found.items() if adapter}

    def _messages(
        self,
        message_type: str,
        config: ConfigRecord,
        downlinks: Mapping[str, AdapterState],
        shops: Mapping[int, str],
        control: ArrayRecord | None = None,
        public: PublicSet | None = None,
    ) -> list[Message]:
        """A message for each of the shops; tensors that several are sent are packed once."""
        distinct = {_identity(adapter): adapter for adapter in downlinks.values()}
        packed = {key: to_arrays(adapter) for key, adapter in distinct.items()}
        nothing, group_id = ArrayRecord(), str(config[records.SERVER_ROUND])
        return [
            Message(
                records.instructions(
                    packed[_identity(downlinks[shop_id])] if shop_id in downlinks else nothing,
                    config,
                    self.run,
                    control,
                    public,
                ),
                node_id,
                message_type,
                group_id=group_id,
            )
            for node_id, shop_id in shops.items()
        ]

    def _by_shop(
        self, replies: Iterable[Message], shops: Mapping[int, str]
    ) -> tuple[dict[str, Message], dict[str, str]]:
        """The replies with content, in shop order, and why others' may not count."""
        found = sort_replies(replies, shops)
        return {shop: each for shop, each in found.by_shop.items() if not each.has_error()}, dict(found.refused)

    def _asked(self, phase: str, server_round: int) -> dict[str, Asked]:
        return {shop_id: Asked(self.run, phase, server_round, shop_id) for shop_id in self.shops.values()}

    def _too_large(self, ratios: Mapping[str, float]) -> dict[str, str]:
        """By shop, why its update stands out; what becomes of it is `replies.norm_rule`'s matter."""
        factor = self.plan.limits.settings.norm_factor
        return {
            shop_id: f"the update's norm is {ratio:.3g} times the round's median; replies.norm_factor is {factor:g}"
            for shop_id, ratio in ratios.items()
            if factor is not None and ratio > factor
        }

    def _agree(self, server_round: int, updates: Sequence[AdapterUpdate]) -> tuple[AgreedReply, ...]:
        """Nothing where no shop had learned from anything."""
        arm = self.plan.arm
        assert isinstance(arm, TeachesByReplies), "the plan asks"
        if without_examples(updates):
            return ()
        name = type(arm.agreement).__name__
        try:
            agreed = arm.agreement.agree(self.plan.queries, updates)
        except (ValueError, ArithmeticError) as error:
            raise FederationError(f"Agreement {name} failed in server round {server_round}: {error}") from error
        if tuple(each.query for each in agreed) != self.plan.queries:
            raise FederationError(f"Agreement {name} has no reply to each public query in server round {server_round}.")
        return agreed

    def _aggregate(
        self, server_round: int, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        aggregator = self.plan.aggregator
        name = type(aggregator).__name__
        started = time.perf_counter()
        try:
            state, report = aggregator.aggregate(replace(self.state.aggregator, num_shops=len(self.shops)), updates)
            checks.check_values(state.adapter or {}, math.inf)
        except (ValueError, ArithmeticError) as error:
            raise FederationError(f"Strategy {name} failed in server round {server_round}: {error}") from error
        report = replace(report, server_seconds=time.perf_counter() - started)
        # The mean of one is that one: of updates that nobody saw, the error is not known.
        if self.plan.sums_only:
            report = replace(report, relative_error=None, module_errors={})
        # Nor whose ranks and bytes these are: the one update bears no shop's name.
        return state, report if self.plan.secure is None else replace(report, ranks={}, update_bytes={})
