"""What if a device kept both, its own adapter and the server's, and chose question by question?

    python -m experiments.local_vs_aggregated.two_adapters runs/local_vs_aggregated [runs/control]
    python -m experiments.local_vs_aggregated.two_adapters runs/near_or_shared --baseline "local (answering=ModelAlone)"

From the replies of finished runs: `local` gave one reply to every test question, an arm that shares gave another, and
what a device knows of both was written down with them (`signals`). Nothing that only an evaluation knows is chosen by.
Two ways to choose: the reply whose tokens the model was surer of; or the own one where the question is near to one that
the shop knows, up to a bound. For each seed's worlds the bound is looked for on the other seeds.

Two models by themselves are more than one. Runs of `local` with another setting of little weight, in a folder of their
own, are the control: what does it give to keep two adapters of which neither has seen another shop?

With `--baseline` nothing is chosen: all ways to answer that were run are held against that one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import bootstrap_ratio_differences, bootstrap_ratios
from ecc_fed.reporting.comparison.matrix import fractions
from ecc_fed.reporting.comparison.worlds import OUTCOMES, World, worlds
from ecc_fed.reporting.formatting import MISSING, difference_text, estimate_text
from ecc_fed.reporting.study import load_study
from ecc_fed.reporting.units import QueryKey, seeded, units_of
from experiments.local_vs_aggregated.methods import AGAINST
from experiments.paper.table6 import markdown

Rows = Mapping[QueryKey, SampleRow]
BOUNDS = tuple(np.round(np.arange(0.0, 1.001, 0.05), 2))
# The baseline, and the floor that trains nothing; whoever shares is an arm of its own by each method.
OWN, COPY, SHARING = "local", "retrieval", "aggregated"


@dataclass(frozen=True)
class Choice:
    """One way to answer, by name: a reply for every question."""

    name: str
    rows: Rows


def surer(own: Rows, shared: Rows) -> Rows:
    """The reply with the larger margin between its likeliest tokens and their runners-up; the own one if neither."""

    def margin(row: SampleRow) -> float:
        return -1.0 if row.signals is None or row.signals.margin is None else row.signals.margin

    return {key: shared[key] if margin(shared[key]) > margin(row) else row for key, row in own.items()}


def near(own: Rows, shared: Rows, bound: float, known: Rows) -> Rows:
    """The own reply up to the bound on the distance to the nearest known question (told in `known`), else the other."""

    def distance(key: QueryKey) -> float:
        signals = known[key].signals
        return 1.0 if signals is None or signals.distance is None else signals.distance

    return {key: row if distance(key) <= bound else shared[key] for key, row in own.items()}


def best_bound(choose: Callable[[float], Rows], without: int) -> float:
    """The bound with the most right facts on all seeds but one; the largest of several: more is answered at home."""

    def right(bound: float) -> float:
        return sum(_right(row) or 0.0 for key, row in choose(bound).items() if key[0] != without)

    return max(BOUNDS, key=lambda bound: (right(bound), bound))


def _right(row: SampleRow) -> float | None:
    fraction = AGAINST[0].fraction(row)
    return None if fraction is None else fraction[0]


def choices(world: World) -> list[Choice]:
    """Every way to answer in a world.

    Raises:
        UserError: the world lacks `local` or an arm that shares, or its replies tell no signals.
    """
    by_label = {group.method_label: world.finals[group.label] for group in world.groups}
    own = by_label.get(OWN)
    # A second adapter of the shop's own, under another setting, is the control.
    shared = {label: rows for label, rows in by_label.items() if label.startswith((SHARING, f"{OWN} ("))}
    if own is None or not shared:
        raise UserError(f"{world.label or 'This world'} has no runs of arm {OWN} beside others of arm {SHARING}.")
    if not any(row.signals is not None and row.signals.distance is not None for row in own.values()):
        raise UserError("These runs do not tell how near a question was to known ones.")
    found = [Choice(OWN, own)]
    copied = by_label.get(COPY)
    if copied is not None:
        found.append(Choice(COPY, copied))
    for label, rows in shared.items():
        common = {key: own[key] for key in own if key in rows}
        found += [Choice(label, rows), Choice(f"surer of own and {label}", surer(common, rows))]
        found.append(_near(f"own where near, else {label}", common, rows, own))
        if copied is not None:
            copies = {key: copied[key] for key in common if key in copied}
            found.append(_near(f"copy where near, else {label}", copies, rows, own))
        either = {key: max((row, rows[key]), key=lambda one: _right(one) or 0.0) for key, row in common.items()}
        found.append(Choice(f"either is right (ceiling), {label}", either))
    return found


def _near(name: str, own: Rows, shared: Rows, known: Rows) -> Choice:
    """Each seed by the bound that the other seeds give."""
    at = {bound: near(own, shared, bound, known) for bound in BOUNDS}
    bounds = {seed: best_bound(at.__getitem__, seed) for seed in sorted({key[0] for key in own})}
    told = " to ".join(f"{bound:g}" for bound in dict.fromkeys((min(bounds.values()), max(bounds.values()))))
    return Choice(f"{name} (bounds {told})", {key: at[bounds[key[0]]][key] for key in own})


def as_run(world: World, baseline: str) -> list[Choice]:
    """Every arm of a world as it was run, the baseline first.

    Raises:
        UserError: no arm of that name.
    """
    found = [Choice(group.method_label, world.finals[group.label]) for group in world.groups]
    if baseline not in {choice.name for choice in found}:
        raise UserError(f"No arm is called {baseline}. There are: {', '.join(choice.name for choice in found)}.")
    return sorted(found, key=lambda choice: choice.name != baseline)


def table(found: Sequence[Choice]) -> str:
    """A row a way to answer: facts, and differences to the first, paired by question."""
    baseline = found[0].rows
    places = [OUTCOMES.index(measure) for measure in AGAINST]
    lines = []
    for choice in found:
        keys = [key for key in choice.rows if key in baseline]
        above, below = (part[:, places] for part in fractions([choice.rows[key] for key in keys]))
        base_above, base_below = (part[:, places] for part in fractions([baseline[key] for key in keys]))
        units = units_of(seeded({key: choice.rows[key] for key in keys}))
        seed = derive_seed(0, "two_adapters", choice.name)
        own = bootstrap_ratios(np.nan_to_num(above), np.nan_to_num(below), units, seed)
        cells = [estimate_text(one, measure) for one, measure in zip(own, AGAINST, strict=True)]
        differences = bootstrap_ratio_differences(
            (np.nan_to_num(above), np.nan_to_num(below)),
            (np.nan_to_num(base_above), np.nan_to_num(base_below)),
            units,
            seed,
        )
        cells += [
            MISSING if choice is found[0] else difference_text(one, measure)
            for one, measure in zip(differences, AGAINST, strict=True)
        ]
        lines.append([choice.name, *cells])
    heads = [f"{measure.label}{ending}" for ending in ("", f", against `{found[0].name}`") for measure in AGAINST]
    return markdown(("Answers", *heads), lines)


def main() -> None:
    """Prints a table for every world of a finished study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="+", help="folders of one or more studies of several seeds")
    parser.add_argument("--baseline", help="hold all arms as they were run against this one, by its label")
    given = parser.parse_args()
    try:
        for world in worlds(load_study(given.study)):
            if given.baseline is not None:
                print(table(as_run(world, given.baseline)), end="\n\n")
                continue
            if len(world.seeds) < 2:
                raise UserError(f"{given.study[0]} has one seed, and bounds are looked for on others.")
            print(f"## {world.label or 'One world'}; seeds {', '.join(map(str, world.seeds))}\n")
            print(table(choices(world)), end="\n\n")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
