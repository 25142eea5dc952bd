"""The server's loop: evaluate the base, run the rounds of an arm, evaluate what came of it.

Which shop is sent what, and what becomes of the replies, is the strategy's matter; here messages
go out and come back, and every failure and every byte is written down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Literal

from flwr.app import ArrayRecord, ConfigRecord

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
from ecc_fed.federation.round_trip import Server, round_trip
from ecc_fed.federation.secure_aggregation.round import secure_round
from ecc_fed.federation.wire import records

# Called with all that is needed to go on from there.
OnCheckpoint = Callable[[Checkpoint], None]


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
    if strategy.plan.masks(server_round):
        failures, traffic = secure_round(server, strategy, list(messages), server_round)
    else:
        trip = round_trip(server, messages, "train", server_round)
        strategy.aggregate_train(server_round, trip.replies)
        failures, traffic = trip.failures, trip.traffic
    outcome = strategy.outcome
    return RoundRecord(
        server_round,
        outcome.shops,
        (*_drop_outs(strategy, server_round), *failures, *_refusals(outcome, "train", server_round)),
        traffic,
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
    trip = round_trip(server, messages, phase, server_round)
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
