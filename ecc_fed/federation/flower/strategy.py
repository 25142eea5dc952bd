"""The one Flower `Strategy`, around any aggregator: what goes to which shop, and what becomes of the replies.

The aggregator works on adapters alone; here they are packed, read (each once in a round) and checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ecc_fed.core.aggregation import (
    EVERYTHING,
    AdapterUpdate,
    AggregateReport,
    AggregatorState,
    without_examples,
)
from ecc_fed.core.records import AdapterState, EvaluationReport
from ecc_fed.federation.aggregation.averaging import update_norm
from ecc_fed.federation.aggregation.one_rank import check_one_rank
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationError, ServerState, ShopRound
from ecc_fed.federation.wire import checks, records
from ecc_fed.federation.wire.arrays import to_arrays
from ecc_fed.federation.wire.checks import RefusedReply
from ecc_fed.federation.wire.receiving import receive


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the replies to one round or evaluation, in shop order.

    `refused` holds the reason by shop; `skipped` says why the round left the server as it was;
    `aggregation` is the aggregator's report.
    """

    shops: Mapping[str, ShopRound] = field(default_factory=dict)
    evaluations: Mapping[str, EvaluationReport] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    skipped: str | None = None
    aggregation: AggregateReport | None = None


class AdapterStrategy(Strategy):
    """Every shop takes part in every round, in a fixed order.

    Flower's own arguments and results have no room for a state that differs between shops: arrays and
    metrics stay empty there, `state` is what the next round starts from, and `outcome` tells what
    became of the last replies.

    Args:
        plan: arm, aggregator and transforms.
        shops: Flower's node ids -> shop ids, in the run's fixed order.
        state: goes on from here; None starts.
    """

    def __init__(self, plan: FederationPlan, shops: Mapping[int, str], state: ServerState | None = None) -> None:
        self.plan = plan
        self.shops = shops
        self.state = state or ServerState(aggregator=plan.aggregator.start())
        self.outcome = Outcome()
        self._sent: dict[str, AdapterState] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A message for every shop, with what the arm and the aggregator have for it."""
        self._sent = self._downlinks(server_round)
        exchange = self.plan.exchange(server_round)
        return self._messages(MessageType.TRAIN, records.train_config(server_round, exchange), self._sent)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Reads the replies; where this round uploads, the usable updates become the aggregator's new state.

        Raises:
            ConfigError: updates that the aggregator cannot take.
            FederationError: an aggregator that fails, or whose adapter is not finite.
        """
        up = self.plan.exchange(server_round).up
        contents = {shop_id: reply.content for shop_id, reply in self._by_shop(replies).items()}
        received = receive(contents, server_round, up, self.plan.transforms, self._sent)
        state = replace(self.state, server_round=server_round)
        skipped, report = None, None
        if not received.replied:
            skipped = "no shop gave a usable reply"
        elif not up:
            state = replace(state, adopted=state.adopted | received.replied.keys())
        elif without_examples(received.updates):
            skipped = "no shop had an example to learn from"
        else:
            aggregator, report = self._aggregate(server_round, received.updates)
            state = replace(state, aggregator=aggregator, adopted=frozenset())
        self.state = state
        norms = {update.shop_id: self._update_norm(update) for update in received.updates}
        shops = {
            shop_id: ShopRound(update.num_examples, update.metrics, norms.get(shop_id))
            for shop_id, update in received.replied.items()
        }
        self.outcome = Outcome(shops, refused=received.refused, skipped=skipped, aggregation=report)
        return None, None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """For the bare base, nothing but the `config`; after the last round, what another would begin with."""
        downlinks = {} if config[records.PHASE] == "base" else self._downlinks(server_round + 1)
        return self._messages(MessageType.EVALUATE, config, downlinks)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Reads the replies."""
        reports: dict[str, EvaluationReport] = {}
        refused: dict[str, str] = {}
        for shop_id, reply in self._by_shop(replies).items():
            try:
                reports[shop_id] = records.read_evaluate_reply(reply.content)
            except RefusedReply as error:
                refused[shop_id] = str(error)
        self.outcome = Outcome(evaluations=reports, refused=refused)
        return None

    def summary(self) -> None:
        """Nothing to log: the run's config says it all."""

    def _downlinks(self, server_round: int) -> dict[str, AdapterState]:
        """What the server has for each shop before a round; nothing where the shop goes on with its own."""
        if not self.plan.federated:
            return {}
        everyone = self.plan.arm.starts_from_server(server_round)
        wanted = [shop_id for shop_id in self.shops.values() if everyone or shop_id not in self.state.adopted]
        found = {shop_id: self.plan.aggregator.downlink(self.state.aggregator, shop_id) for shop_id in wanted}
        return {shop_id: adapter for shop_id, adapter in found.items() if adapter}

    def _messages(
        self, message_type: str, config: ConfigRecord, downlinks: Mapping[str, AdapterState]
    ) -> list[Message]:
        """A message for every shop; an adapter that several are sent is packed once."""
        distinct = {id(adapter): adapter for adapter in downlinks.values()}
        packed = {number: to_arrays(adapter) for number, adapter in distinct.items()}
        nothing, group_id = ArrayRecord(), str(config[records.SERVER_ROUND])
        return [
            Message(
                records.instructions(packed[id(downlinks[shop_id])] if shop_id in downlinks else nothing, config),
                node_id,
                message_type,
                group_id=group_id,
            )
            for node_id, shop_id in self.shops.items()
        ]

    def _by_shop(self, replies: Iterable[Message]) -> dict[str, Message]:
        """The replies with content, in shop order."""
        by_node = {reply.metadata.src_node_id: reply for reply in replies if not reply.has_error()}
        return {shop_id: by_node[node_id] for node_id, shop_id in self.shops.items() if node_id in by_node}

    def _aggregate(
        self, server_round: int, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        aggregator = self.plan.aggregator
        name = type(aggregator).__name__
        if not aggregator.mixed_ranks:
            check_one_rank(updates, name)
        try:
            state, report = aggregator.aggregate(self.state.aggregator, updates)
            checks.check_tensors(state.adapter or {}, EVERYTHING)
        except (ValueError, ArithmeticError) as error:
            raise FederationError(f"Strategy {name} failed in server round {server_round}: {error}") from error
        # The mean of one is that one: of updates that nobody saw, the error is not known.
        return state, replace(report, relative_error=None, module_errors={}) if self.plan.sums_only else report

    def _update_norm(self, update: AdapterUpdate) -> float | None:
        sent = self._sent.get(update.shop_id, {})
        same = all(name in sent and sent[name].shape == tensor.shape for name, tensor in update.adapter.items())
        return update_norm(update.adapter, sent) if same else None
