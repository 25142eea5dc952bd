"""A run whose shops are one device: one node for all of them, and who took part told all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecc_fed.evolution.pool import POOL
from ecc_fed.federation.limits import MOST_EXAMPLES
from ecc_fed.federation.participation import Participation
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult, ShopFailure


def nodes_of(plan: FederationPlan, shop_ids: Sequence[str]) -> list[str]:
    """The names of the run's nodes: the shops, or the one that stands for them."""
    return [POOL] if plan.pools else list(shop_ids)


def server_plan(plan: FederationPlan, shop_ids: Sequence[str]) -> FederationPlan:
    """The plan as the server plays it. Where there is a pool, who takes part is its own matter; it learns for all."""
    if not plan.pools:
        return plan
    limits = replace(plan.limits, max_examples=min(MOST_EXAMPLES, plan.limits.max_examples * len(shop_ids)))
    return replace(plan, participation=Participation(), limits=limits)


def with_drop_outs(result: FederationResult, plan: FederationPlan, shop_ids: Sequence[str]) -> FederationResult:
    """With the shops that dropped out of the pool's rounds, which no server has seen."""
    if not plan.pools:
        return result
    rounds = []
    for record in result.rounds:
        dropped = plan.participation.of_round(record.server_round, shop_ids).dropped
        share = plan.participation.settings.dropout
        reason = f"dropped out before the round, as participation.dropout={share:g} has it"
        failures = [ShopFailure(each, record.server_round, "train", "dropped", reason) for each in dropped]
        rounds.append(replace(record, shops={}, failures=(*failures, *record.failures)))
    return replace(result, rounds=tuple(rounds))
