"""The server's loop: evaluate the base, run the rounds of an arm, evaluate what came of it.

Which shop is sent what, and what becomes of the replies, is the strategy's matter; here messages
go out and come back, and every failure and every byte is written down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid

from ecc_fed.core.errors import WriteError
from ecc_fed.core.records import EgressEntry
from ecc_fed.federation.flower.strategy import AdapterStrategy, Outcome
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import (
    Checkpoint,
    Evaluation,
    FederationError,
    FederationResult,
    Phase,
    RoundRecord,
    ShopFailure,
    SkippedRound,
)
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.checks import shown
from ecc_fed.federation.wire.receiving import sort_replies

# Called with all that is needed to go on from there.
OnCheckpoint = Callable[[Checkpoint], None]


@dataclass(frozen=True, slots=True)
class Server:
    """The shops within reach. `shops` maps Flower's node ids to shop ids, in the run's fixed order.

    `own_hosts`: the shops' processes are this run's own and write to its disk, which fills up for all at once.
    """

    grid: Grid
    shops: Mapping[int, str]
    reply_timeout_seconds: float | None = None
    own_hosts: bool = False


@dataclass(frozen=True, slots=True)
class _RoundTrip:
    """Who answered once and with content (in shop order), who failed, and every byte."""

    replies: tuple[Message, ...]
    failures: tuple[ShopFailure, ...]
    traffic: tuple[EgressEntry, ...]


_LONGEST_DETAILS = 20_000
# How a host's reply names an error of this kind (`error_reply`).
_NOT_WRITTEN = f"{WriteError.__name__}: "


def _round_trip(server: Server, messages: Iterable[Message], phase: Phase, server_round: int) -> _RoundTrip:
    sent = list(messages)
    traffic = [
        entry
        for message in sent
        for entry in records.traffic_entries(server.shops[message.metadata.dst_node_id], server_round, "down", message)
    ]
    came = list(server.grid.send_and_receive(sent, timeout=server.reply_timeout_seconds))
    for message in came:
        if (shop := server.shops.get(message.metadata.src_node_id)) is not None:
            traffic += records.traffic_entries(shop, server_round, "up", message)
    asked = {message.metadata.dst_node_id: server.shops[message.metadata.dst_node_id] for message in sent}
    found = sort_replies(came, asked)
    replies, failures = [], []
    for shop_id in asked.values():
        reply = found.by_shop.get(shop_id)
        kind: Literal["dropped", "refused"] = "dropped"
        if shop_id in found.refused:
            kind, reason, details = "refused", found.refused[shop_id], ""
        elif reply is None:
            reason, details = f"no reply within {server.reply_timeout_seconds} seconds", ""
        elif not reply.has_error():
            replies.append(reply)
            continue
        else:
            reason, _, details = (reply.error.reason or "no reason given").partition("\n")
            if server.own_hosts and reason.startswith(_NOT_WRITTEN):
                # Not one shop's failure: the next round would fail like this one.
                raise WriteError(reason.removeprefix(_NOT_WRITTEN))
            reason, details = shown(reason), details[:_LONGEST_DETAILS]
        failures.append(ShopFailure(shop_id, server_round, phase, kind, reason, details))
    failures += [
        ShopFailure(
            server.shops.get(node_id),
            server_round,
            phase,
            "refused",
            "it replied and takes no part in this round"
            if node_id in server.shops
            else f"node {node_id} replied, which stands for no shop",
        )
        for node_id in found.strangers
    ]
    return _RoundTrip(tuple(replies), tuple(failures), tuple(traffic))


def _refusals(outcome: Outcome, phase: Phase, server_round: int) -> Iterator[ShopFailure]:
    for shop_id, reason in outcome.refused.items():
        yield ShopFailure(shop_id, server_round, phase, "refused", reason)


def _drop_outs(strategy: AdapterStrategy, server_round: int) -> Iterator[ShopFailure]:
    dropout = strategy.plan.participation.settings.dropout
    reason = f"dropped out before the round, as participation.dropout={dropout:g} has it"
    for shop_id in strategy.dropped:
        yield ShopFailure(shop_id, server_round, "train", "dropped", reason)


def _train_round(server: Server, strategy: AdapterStrategy, server_round: int) -> RoundRecord:
    started = time.perf_counter()
    messages = strategy.configure_train(server_round, ArrayRecord(), ConfigRecord(), server.grid)
    trip = _round_trip(server, messages, "train", server_round)
    strategy.aggregate_train(server_round, trip.replies)
    outcome = strategy.outcome
    return RoundRecord(
        server_round,
        outcome.shops,
        (*_drop_outs(strategy, server_round), *trip.failures, *_refusals(outcome, "train", server_round)),
        trip.traffic,
        time.perf_counter() - started,
        None if outcome.skipped is None else SkippedRound(server_round, outcome.skipped),
        outcome.aggregation,
        outcome.agreed,
    )


def _evaluate(server: Server, strategy: AdapterStrategy, phase: Literal["base", "final"]) -> Evaluation:
    server_round = strategy.state.server_round
    messages = strategy.configure_evaluate(
        server_round, ArrayRecord(), records.evaluate_config(server_round, phase), server.grid
    )
    trip = _round_trip(server, messages, phase, server_round)
    strategy.aggregate_evaluate(server_round, trip.replies)
    outcome = strategy.outcome
    return Evaluation(outcome.evaluations, (*trip.failures, *_refusals(outcome, phase, server_round)), trip.traffic)


def run_rounds(
    server: Server,
    plan: FederationPlan,
    *,
    resume: Checkpoint | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> FederationResult:
    """Runs an arm from its start, or on from `resume`, to the final evaluation.

    A shop that fails is recorded and the round goes on without it; a round without any usable
    reply is recorded as skipped and leaves the aggregate as it was.

    Args:
        server: the grid and its shops.
        plan: arm, aggregator and transforms.
        resume: the last checkpoint; what was done before it is not done again, and stands in the result.
        on_checkpoint: called after the base's evaluation and after every round.

    Raises:
        ConfigError: updates that the aggregator cannot take, or too few shops a round for it.
        FederationError: there is no shop, or the aggregator fails.
    """
    if not server.shops:
        raise FederationError("There is no shop to run: the corpus gave none, or no node answered.")
    plan.check_shops(tuple(server.shops.values()))
    strategy = AdapterStrategy(plan, server.shops, None if resume is None else resume.state)
    done = Checkpoint(strategy.state) if resume is None else resume.in_order(server.shops.values())
    base, rounds = done.base, list(done.rounds)

    def reached() -> None:
        if on_checkpoint is not None:
            on_checkpoint(Checkpoint(strategy.state, base, tuple(rounds)))

    if resume is None and plan.arm.evaluates_base:
        base = _evaluate(server, strategy, "base")
        reached()
    for server_round in range(strategy.state.server_round + 1, plan.arm.server_rounds + 1):
        rounds.append(_train_round(server, strategy, server_round))
        reached()
    return FederationResult(strategy.state, base, tuple(rounds), _evaluate(server, strategy, "final"))
