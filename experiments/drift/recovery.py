"""Days on which facts change: who recovers, when, and what of the rest is forgotten on the way.

    ecc-fed study drift --allow experiments --out runs/drift

While they serve, shops are asked for facts that have changed and for others; a round counts the queries whose reply
states them, before the shop learns from it. After the last round the test asks once more.
Intervals draw shops of every seed, then queries (by round) or dialogues and queries (at the end). A change of a fact
is known by its day: of a round before it nothing has changed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import FactRow, SampleRow, ServedFacts
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, bootstrap_ratio_differences, bootstrap_ratios
from ecc_fed.reporting.comparison.differences import paired_keys
from ecc_fed.reporting.comparison.figures.marks import markers, shades
from ecc_fed.reporting.comparison.worlds import World, worlds
from ecc_fed.reporting.formatting import difference_text, estimate_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots.svg import as_file, legend_below, percent, render
from ecc_fed.reporting.study import Group, load_study
from ecc_fed.reporting.sweep import read_config
from ecc_fed.reporting.units import seeded, units_of
from experiments.paper.table6 import markdown

BASELINE = "local"
_SHARE = BY_NAME["fact_accuracy"]
# Of a round's queries: how many there are, and how many were answered right.
Counts = Callable[[ServedFacts], tuple[int, int]]
ROUNDS: dict[str, Counts] = {
    "Facts that changed": lambda facts: (facts.changed, facts.changed_right),
    "Other facts": lambda facts: (facts.asked - facts.changed, facts.right - facts.changed_right),
}
# Of a fact of the test: whether it counts, and whether it does so in the arm's favour.
Outcome = Callable[[FactRow], tuple[bool, bool]]
OUTCOMES: dict[str, Outcome] = {
    "Changed facts right": lambda fact: (fact.days_since_change is not None, fact.right),
    "Another value in their place": lambda fact: (
        fact.days_since_change is not None,
        bool(fact.competing_stated) and not fact.right,
    ),
    "Other facts right": lambda fact: (fact.days_since_change is None, fact.right),
}


@dataclass(frozen=True)
class Recovery:
    """The view of study `drift`: writes `drift.md`, `drift.csv` and `drift.svg`."""

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Reads the runs in `directory`; returns the paths.

        Raises:
            UserError: in no run there a fact has changed.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        changed = [world for world in worlds(load_study([directory])) if any(map(_changes, world.groups))]
        if not changed:
            raise UserError(f"{directory} holds no run in which a fact changed. Run one with corpus.drift=0.5.")
        texts = {"drift.md": page(changed), "drift.csv": _csv(changed), "drift.svg": figure(changed)}
        paths = [output / name for name in texts]
        for path in paths:
            write_text(path, texts[path.name])
        return paths


def _changes(group: Group) -> bool:
    return any(row.facts is not None and row.facts.changed for run in group.runs for row in run.metrics or ())


def title(world: World) -> str:
    """Whose facts change: the shops' own, the platform's rules, or both."""
    corpus = read_config(world.groups[0].runs[0]).get("corpus", {})
    told = {"shops' own": corpus.get("drift", 0), "platform's": corpus.get("platform_drift", 0)}
    whose = [f"{share:.0%} of the {name}" for name, share in told.items() if share]
    return f"{' and '.join(whose) or 'none'} change"


def by_round(group: Group, of: Counts) -> dict[int, Estimate]:
    """Share of right answers by server round; rounds without such a query are left out."""
    rows = [
        (run.seed, row)
        for run in group.runs
        for row in run.metrics or ()
        if row.split == "stream" and row.server_round >= 1 and row.facts is not None
    ]
    found: dict[int, Estimate] = {}
    for server_round in sorted({row.server_round for _, row in rows}):
        right: list[float] = []
        shops: list[tuple[int, str]] = []
        for seed, row in rows:
            if row.server_round == server_round and row.facts is not None:
                asked, hits = of(row.facts)
                right += [1.0] * hits + [0.0] * (asked - hits)
                shops += [(seed, row.shop_id)] * asked
        if right:
            draws = derive_seed(0, "drift", group.key, server_round)
            values = np.array(right)[:, None]
            estimate = bootstrap_ratios(values, np.ones_like(values), Units(shops, range(len(shops))), draws)[0]
            if estimate is not None:
                found[server_round] = estimate
    return found


def counted(rows: Sequence[SampleRow]) -> tuple[np.ndarray, np.ndarray]:
    """By reply and outcome, facts in favour and facts that count: both (replies, outcomes)."""
    above = np.zeros((len(rows), len(OUTCOMES)))
    below = np.zeros_like(above)
    for place, row in enumerate(rows):
        for number, outcome in enumerate(OUTCOMES.values()):
            told = [outcome(fact) for fact in row.facts]
            below[place, number] = sum(counts for counts, _ in told)
            above[place, number] = sum(counts and good for counts, good in told)
    return above, below


def at_the_end(group: Group) -> list[Estimate | None]:
    """Every outcome over the test replies."""
    found = seeded(group.rows("final"))
    seed = derive_seed(0, "drift", group.key, "end")
    return bootstrap_ratios(*counted([row for _, row in found]), units_of(found), seed)


def against(group: Group, other: Group) -> list[Estimate | None]:
    """Every outcome, paired by question: the arm minus the other."""
    own, theirs = group.rows("final"), other.rows("final")
    both = {key: own[key] for key in paired_keys(own, theirs)}
    seed = derive_seed(0, "drift", group.key, other.key)
    left, right = counted(list(both.values())), counted([theirs[key] for key in both])
    return bootstrap_ratio_differences(left, right, units_of(seeded(both)), seed)


def _shown(estimate: Estimate | None) -> str:
    return estimate_text(estimate, _SHARE)


def page(found: Sequence[World]) -> str:
    """By world: both kinds of facts by round, and the test at the end."""
    parts = ["# Days on which facts change\n"]
    for world in found:
        parts.append(f"## {title(world)}\n")
        for kind, of in ROUNDS.items():
            curves = {group.method_label: by_round(group, of) for group in world.groups}
            rounds = sorted({at for curve in curves.values() for at in curve})
            rows = [[f"`{name}`", *(_shown(curve.get(at)) for at in rounds)] for name, curve in curves.items()]
            parts += [f"{kind}, right while serving, by round:\n", markdown(["Arm", *map(str, rounds)], rows)]
        parts += ["At the end, and paired with `local`:\n", _end(world)]
    return "\n".join(parts)


def _end(world: World) -> str:
    local = next((group for group in world.groups if group.method_label == BASELINE), None)
    rows = []
    for group in world.groups:
        paired = [None] * len(OUTCOMES) if local is None or group is local else against(group, local)
        cells = [
            _shown(one) + (f"; {difference_text(other, _SHARE)}" if other is not None else "")
            for one, other in zip(at_the_end(group), paired, strict=True)
        ]
        rows.append([f"`{group.method_label}`", *cells])
    return markdown(["Arm", *OUTCOMES], rows)


def _lines(found: Sequence[World]) -> Iterator[list[object]]:
    yield ["world", "arm", "facts", "server_round", "right", "ci95_low", "ci95_high", "queries"]
    for world in found:
        for group in world.groups:
            for kind, of in ROUNDS.items():
                for at, one in by_round(group, of).items():
                    numbers = ["" if value is None else f"{value:.6g}" for value in (one.mean, one.low, one.high)]
                    yield [title(world), group.method_label, kind, at, *numbers, one.n]


def _csv(found: Sequence[World]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(_lines(found))
    return out.getvalue()


def figure(found: Sequence[World]) -> str:
    """A line of panels a world: facts that changed, and the others, by round."""

    def draw() -> Figure:
        drawn = Figure(figsize=(10, 0.4 + 3.4 * len(found)), layout="constrained")
        panels = drawn.subplots(len(found), len(ROUNDS), squeeze=False, sharex=True)
        for line, world in zip(panels, found, strict=True):
            for axes, (kind, of) in zip(line, ROUNDS.items(), strict=True):
                _draw(axes, world, of)
                axes.set_title(f"{kind}: {title(world)}")
                axes.set_xlabel("Server round")
            line[0].set_ylabel("Right while serving")
        legend_below(drawn, list(panels.flat))
        return drawn

    return as_file(render("drift", "Facts right by server round, those that changed and the others", draw))


def _draw(axes: Axes, world: World, of: Counts) -> None:
    shade, mark = shades(world.groups), markers(world.groups)
    for group in world.groups:
        curve = by_round(group, of)
        look = {"color": shade[group.label], "marker": mark[group.label], "markersize": 4, "linewidth": 1.4}
        axes.plot(list(curve), [one.mean for one in curve.values()], label=group.method_label, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    percent(axes.yaxis)
    axes.set_ylim(bottom=0)  # last, or what is drawn after it would be cut
