"""The server's loop: evaluate the base, run the rounds of an arm, evaluate what came of it.

Two rules cover all arms. In an aggregated round every shop is sent the aggregate and sends its
adapter back. In any other round, and for the final evaluation, a shop goes on with its own adapter
once it has trained on from the last aggregate, and is sent that aggregate until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType
from flwr.serverapp import Grid
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import Strategy

from ecc_fed.core.errors import WriteError
from ecc_fed.core.records import AdapterState, EgressEntry, EvaluationReport, TrainReport
from ecc_fed.federation.aggregation.arithmetic import product_error, update_norm
from ecc_fed.federation.arms import ArmPlan
from ecc_fed.federation.results import (
    Evaluation,
    FederationError,
    FederationResult,
    Phase,
    RoundRecord,
    ServerState,
    ShopFailure,
    ShopRound,
    SkippedRound,
)
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.records import RefusedReply

# Called after every round with what is needed to go on from there, and the round's record.
OnRoundEnd = Callable[[ServerState, RoundRecord], None]


@dataclass(frozen=True, slots=True)
class Server:
    """The shops within reach. `shops` maps Flower's node ids to shop ids, in the run's fixed order."""

    grid: Grid
    shops: Mapping[int, str]
    reply_timeout_seconds: float | None = None


@dataclass(slots=True)
class _Exchange:
    """One round trip: who answered with content (in shop order), who failed, and every byte."""

    replies: dict[str, Message]
    failures: list[ShopFailure]
    traffic: list[EgressEntry]

    def refuse(self, shop_id: str, server_round: int, phase: Phase, reason: str) -> None:
        """Takes a reply out of the exchange and says why."""
        del self.replies[shop_id]
        self.failures.append(ShopFailure(shop_id, server_round, phase, "refused", reason))


# How a host's reply names an error of this kind (`error_reply`).
_NOT_WRITTEN = f"{WriteError.__name__}: "


def _exchange(server: Server, messages: Iterable[Message], phase: Phase, server_round: int) -> _Exchange:
    sent = [message for message in messages if message.metadata.dst_node_id in server.shops]
    traffic = [
        entry
        for message in sent
        for entry in records.traffic_entries(server.shops[message.metadata.dst_node_id], server_round, "down", message)
    ]
    by_node = {
        reply.metadata.src_node_id: reply
        for reply in server.grid.send_and_receive(sent, timeout=server.reply_timeout_seconds)
    }
    asked = {message.metadata.dst_node_id for message in sent}
    exchange = _Exchange({}, [], traffic)
    for node_id, shop_id in server.shops.items():
        if node_id not in asked:
            continue
        reply = by_node.get(node_id)
        if reply is None:
            reason, details = f"no reply within {server.reply_timeout_seconds} seconds", ""
        else:
            traffic += records.traffic_entries(shop_id, server_round, "up", reply)
            if not reply.has_error():
                exchange.replies[shop_id] = reply
                continue
            reason, _, details = (reply.error.reason or "no reason given").partition("\n")
            if reason.startswith(_NOT_WRITTEN):
                # Not one shop's failure: the next round would fail like this one.
                raise WriteError(reason.removeprefix(_NOT_WRITTEN))
        exchange.failures.append(ShopFailure(shop_id, server_round, phase, "dropped", reason, details))
    return exchange


def _own_or_aggregate(server: Server, state: ServerState, config: ConfigRecord, message_type: str) -> list[Message]:
    """The second rule: the aggregate to shops that have not trained on from it, nothing to the others."""
    aggregate, nothing = records.to_arrays(state.aggregate), ArrayRecord()
    group_id = str(config[records.SERVER_ROUND])
    return [
        Message(
            records.instructions(nothing if shop_id in state.adopted else aggregate, config),
            node_id,
            message_type,
            group_id=group_id,
        )
        for node_id, shop_id in server.shops.items()
    ]


def _read_reports(exchange: _Exchange, server_round: int, state: ServerState, upload: bool) -> dict[str, TrainReport]:
    """The usable replies. An adapter must have the aggregate's names and shapes, or before there is one the
    names and shapes of most."""
    reports: dict[str, TrainReport] = {}
    for shop_id, reply in list(exchange.replies.items()):
        try:
            reports[shop_id] = records.read_train_reply(reply.content, upload)
        except RefusedReply as error:
            exchange.refuse(shop_id, server_round, "train", str(error))
    if not upload or not reports:
        return reports
    expected = (
        records.signature(state.aggregate)
        if state.aggregate is not None
        else records.common_signature(report.adapter for report in reports.values())
    )
    for shop_id, report in list(reports.items()):
        try:
            records.check_signature(report.adapter, expected)
        except RefusedReply as error:
            exchange.refuse(shop_id, server_round, "train", str(error))
            del reports[shop_id]
    return reports


def _aggregate(
    strategy: Strategy, server_round: int, exchange: _Exchange, reports: Mapping[str, TrainReport]
) -> AdapterState | None:
    """The strategy's aggregate of the usable replies, checked like any adapter."""
    name = type(strategy).__name__
    try:
        arrays, _ = strategy.aggregate_train(server_round, list(exchange.replies.values()))
        aggregate = records.from_arrays(arrays)
        if aggregate is not None:
            records.check_tensors(aggregate)
            records.check_signature(aggregate, records.signature(next(iter(reports.values())).adapter))
    except (AggregationError, InconsistentMessageReplies, RefusedReply) as error:
        raise FederationError(f"Strategy {name} failed to aggregate server round {server_round}: {error}") from error
    return aggregate


def _train_round(
    server: Server, strategy: Strategy, plan: ArmPlan, state: ServerState, server_round: int
) -> tuple[ServerState, RoundRecord]:
    started = time.perf_counter()
    upload = server_round <= plan.aggregated_rounds
    config = records.train_config(server_round, upload)
    if upload:
        arrays = records.to_arrays(state.aggregate)
        messages = strategy.configure_train(server_round, arrays, config, server.grid)
    else:
        messages = _own_or_aggregate(server, state, config, MessageType.TRAIN)
    exchange = _exchange(server, messages, "train", server_round)
    reports = _read_reports(exchange, server_round, state, upload)
    record = RoundRecord(
        server_round,
        {
            shop_id: ShopRound(
                report.num_examples,
                report.metrics,
                update_norm(report.adapter, state.aggregate) if upload and state.aggregate is not None else None,
            )
            for shop_id, report in reports.items()
        },
        tuple(exchange.failures),
        tuple(exchange.traffic),
        0.0,
    )
    if not reports:
        record = replace(record, skipped=SkippedRound(server_round, "no shop gave a usable reply"))
    elif not upload:
        state = replace(state, adopted=state.adopted | reports.keys())
    else:
        aggregate = _aggregate(strategy, server_round, exchange, reports)
        if aggregate is None:
            record = replace(record, skipped=SkippedRound(server_round, "no shop had an example to learn from"))
        else:
            record = replace(
                record,
                product_error=product_error(
                    aggregate,
                    [report.adapter for report in reports.values()],
                    [float(report.num_examples) for report in reports.values()],
                ),
                update_norm=None if state.aggregate is None else update_norm(aggregate, state.aggregate),
            )
            state = replace(state, aggregate=aggregate)
    return (
        replace(state, server_round=server_round),
        replace(record, seconds=time.perf_counter() - started),
    )


def _evaluate(server: Server, state: ServerState, phase: Literal["base", "final"]) -> Evaluation:
    config = records.evaluate_config(state.server_round, phase)
    messages = _own_or_aggregate(server, state, config, MessageType.EVALUATE)
    exchange = _exchange(server, messages, phase, state.server_round)
    reports: dict[str, EvaluationReport] = {}
    for shop_id, reply in list(exchange.replies.items()):
        try:
            reports[shop_id] = records.read_evaluate_reply(reply.content)
        except RefusedReply as error:
            exchange.refuse(shop_id, state.server_round, phase, str(error))
    return Evaluation(reports, tuple(exchange.failures), tuple(exchange.traffic))


def run_rounds(
    server: Server,
    plan: ArmPlan,
    strategy: Strategy,
    *,
    resume: ServerState | None = None,
    on_round_end: OnRoundEnd | None = None,
) -> FederationResult:
    """Runs an arm from its start, or on from `resume`, to the final evaluation.

    A shop that fails is recorded and the round goes on without it; a round without any usable
    reply is recorded as skipped and leaves the aggregate as it was.

    Args:
        server: the grid and its shops.
        plan: the arm.
        strategy: how adapters become one; not used where the plan does not aggregate.
        resume: the state after the last finished round, from `on_round_end`. The base is not
            evaluated again once a round is finished.
        on_round_end: called after every round.

    Raises:
        FederationError: there is no shop, or the strategy cannot aggregate.
    """
    if not server.shops:
        raise FederationError("There is no shop to run: the corpus gave none, or no node answered.")
    state = resume or ServerState()
    base = Evaluation()
    if plan.evaluate_base and state.server_round == 0:
        base = _evaluate(server, state, "base")
    rounds = []
    for server_round in range(state.server_round + 1, plan.server_rounds + 1):
        state, record = _train_round(server, strategy, plan, state, server_round)
        rounds.append(record)
        if on_round_end is not None:
            on_round_end(state, record)
    return FederationResult(state, base, tuple(rounds), _evaluate(server, state, "final"))
