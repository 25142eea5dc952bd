"""Quality against what it costs, and which arms nobody beats at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, bootstrap_ratios, weighted_mean
from ecc_fed.reporting.comparison.matrix import fractions
from ecc_fed.reporting.comparison.worlds import OUTCOMES, World
from ecc_fed.reporting.counts import REPLIES_KEYS, teacher, traffic
from ecc_fed.reporting.formatting import bytes_text, count_text, number_text
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import Group
from ecc_fed.reporting.units import seeded, units_of


@dataclass(frozen=True)
class Cost:
    """A cost of a run; `of` is None where the run does not tell."""

    name: str
    label: str
    of: Callable[[Run], float | None]
    show: Callable[[float | None], str]


def _sum(run: Run, *keys: str) -> float | None:
    parts = [value for key, value in traffic(run).items() if key in keys and value is not None]
    return float(sum(parts)) if parts else None


def _calls(run: Run) -> float | None:
    """Of serving; none where the file tells of no cycle, for then nobody was served."""
    return 0.0 if run.metrics == () else teacher(run)["requests"]


COSTS = (
    Cost("cloud_calls", "Cloud calls", _calls, count_text),
    Cost("cloud_up_bytes", "Bytes to the cloud", lambda run: _sum(run, "teacher_up_bytes"), bytes_text),
    Cost(
        "federation_bytes",
        "Bytes of the federation",
        lambda run: _sum(run, "adapter_up_bytes", "adapter_down_bytes", *REPLIES_KEYS.values()),
        bytes_text,
    ),
    Cost("seconds", "Seconds", lambda run: run.info.runtime.wall_seconds, number_text),
)


@dataclass(frozen=True)
class Place:
    """An arm's quality and its costs, means over seeds; `front`: the costs at which nobody beats it.

    `unbeaten`: no other arm is at least as good in quality and in all costs, and better in one.
    """

    group: Group
    quality: Estimate
    costs: Mapping[str, float | None]
    front: tuple[str, ...]
    unbeaten: bool


def places(world: World, measure: Measure) -> list[Place]:
    """Every arm that has the outcome, in the world's order; fronts go by the means, not by their intervals."""
    column = OUTCOMES.index(measure)
    known: list[tuple[Group, Estimate, dict[str, float | None]]] = []
    for group in world.groups:
        rows = world.finals[group.label]
        above, below = (np.nan_to_num(part[:, [column]]) for part in fractions(list(rows.values())))
        seed = derive_seed(0, "report", group.key, "quality", measure.name)
        quality = bootstrap_ratios(above, below, units_of(seeded(rows)), seed)[0]
        if quality is not None:
            costs = {cost.name: weighted_mean([cost.of(run) for run in group.runs]) for cost in COSTS}
            known.append((group, quality, costs))
    fronts = {cost.name: front([(quality.mean, (costs[cost.name],)) for _, quality, costs in known]) for cost in COSTS}
    unbeaten = front([(quality.mean, tuple(costs[cost.name] for cost in COSTS)) for _, quality, costs in known])
    return [
        Place(group, quality, costs, tuple(name for name, on in fronts.items() if number in on), number in unbeaten)
        for number, (group, quality, costs) in enumerate(known)
    ]


def front(points: Sequence[tuple[float, Sequence[float | None]]]) -> set[int]:
    """The points that no other one beats: at least as good in quality (more) and every cost (less), better in one.

    A point that lacks a cost is on no front and beats nobody.
    """
    whole = [
        (number, (-quality, *[cost for cost in costs if cost is not None]))
        for number, (quality, costs) in enumerate(points)
        if None not in costs
    ]

    def beats(one: Sequence[float], other: Sequence[float]) -> bool:
        return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)

    return {number for number, point in whole if not any(beats(other, point) for _, other in whole)}
