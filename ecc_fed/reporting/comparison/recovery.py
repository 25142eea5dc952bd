"""How right replies are round by round, how customers fare, and facts by the days since they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.rows import FactRow, MetricRow, ServedFacts
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, bootstrap_ratios
from ecc_fed.reporting.study import Group
from ecc_fed.reporting.units import seeded, units_of

# Days since the change: from, below; the last is open, and None stands for facts that never changed.
Days = tuple[float, float | None] | None
DAYS: tuple[Days, ...] = ((0, 1), (1, 2), (2, 4), (4, 7), (7, None), None)


def days_label(days: Days) -> str:
    """Such as "2 to 4 days"."""
    if days is None:
        return "never changed"
    low, high = days
    if high is None:
        return f"{low:.0f} days or more"
    return "the same day" if high == 1 else f"{low:.0f} to {high - 1:.0f} days" if high - low > 1 else f"{low:.0f} day"


@dataclass(frozen=True)
class RoundFigures:
    """One round of an arm, over all its seeds.

    `right`: of the served queries that ask for facts, those whose reply stated them, before the shop learned from
    them; `changed`: the same where one of the facts had changed. `content`: share of served customers who were; None
    where no run has ever seen an unhappy one, as a corpus without feedback has none. `labels`: pseudo-labels taken up,
    for each query served.
    """

    group: Group
    server_round: int
    right: Estimate | None
    changed: Estimate | None
    content: Estimate | None
    labels: Estimate | None


def round_figures(groups: Sequence[Group]) -> list[RoundFigures]:
    """Every round of every arm that served; intervals draw shops, then queries."""
    return [figures for group in groups for figures in _rounds(group)]


def _rounds(group: Group) -> list[RoundFigures]:
    rows = [
        (run.seed, row)
        for run in group.runs
        for row in run.metrics or ()
        if row.split == "stream" and row.server_round >= 1 and row.served
    ]
    anyone_told = any(row.unhappy for _, row in rows)
    result = []
    for server_round in sorted({row.server_round for _, row in rows}):
        here = [(seed, row) for seed, row in rows if row.server_round == server_round]
        seed = derive_seed(0, "report", group.key, "rounds", server_round)
        right, changed, content, labels = _of_queries(here, seed)
        result.append(RoundFigures(group, server_round, right, changed, content if anyone_told else None, labels))
    return result


def _of_queries(rows: Sequence[tuple[int, MetricRow]], seed: int) -> list[Estimate | None]:
    """Right, right where a fact had changed, content, and labels for each query.

    A row counts queries, and knows neither which is which nor their dialogues: every count is dealt out by itself.
    """
    above: list[tuple[float, ...]] = []
    below: list[tuple[float, ...]] = []
    shops: list[tuple[int, str]] = []
    for run_seed, row in rows:
        facts = row.facts or ServedFacts(0, 0, 0, 0)
        labels = row.pseudo_labels / row.served
        for query in range(row.served):
            above.append((query < facts.right, query < facts.changed_right, query >= row.unhappy, labels))
            below.append((query < facts.asked, query < facts.changed, 1.0, 1.0))
        shops += [(run_seed, row.shop_id)] * row.served
    units = Units(shops, range(len(shops)))
    return bootstrap_ratios(np.array(above, dtype=np.float64), np.array(below, dtype=np.float64), units, seed)


@dataclass(frozen=True)
class DriftFigures:
    """Facts of one age, over the test replies of an arm.

    `right`: stated, and no competing value beside them; `outdated`: another value stated in the place of the true
    one; `taught`: share that the shop's training dialogues hold.
    """

    group: Group
    days: Days
    right: Estimate
    outdated: Estimate
    taught: float


def drift_figures(groups: Sequence[Group]) -> list[DriftFigures]:
    """Every age of facts in every arm; nothing where no fact ever changed."""
    changed = any(
        fact.days_since_change is not None
        for group in groups
        for row in group.rows("final").values()
        for fact in row.facts
    )
    return [found for group in groups for found in _drift(group)] if changed else []


def _drift(group: Group) -> list[DriftFigures]:
    facts = [(seed, row, fact) for seed, row in seeded(group.rows("final")) for fact in row.facts]
    found = []
    for days in DAYS:
        here = [(seed, row, fact) for seed, row, fact in facts if _is_of(fact, days)]
        if not here:
            continue
        above = np.array([(fact.right, bool(fact.competing_stated) and not fact.right) for *_, fact in here], float)
        seed = derive_seed(0, "report", group.key, "drift", days_label(days))
        units = units_of([(run_seed, row) for run_seed, row, _ in here])
        right, outdated = bootstrap_ratios(above, np.ones_like(above), units, seed)
        if right is not None and outdated is not None:
            taught = sum(fact.seen for *_, fact in here) / len(here)
            found.append(DriftFigures(group, days, right, outdated, taught))
    return found


def _is_of(fact: FactRow, days: Days) -> bool:
    since = fact.days_since_change
    if days is None or since is None:
        return days is None and since is None
    low, high = days
    return low <= since and (high is None or since < high)
