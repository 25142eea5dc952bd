"""Do differences follow how much a shop has to learn from, or how unlike the others it is?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import ShopProfile
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, bootstrap_rank_correlation
from ecc_fed.reporting.comparison.differences import ShopDifference, Verdict
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.study import settings_text
from ecc_fed.reporting.sweep import is_of_the_world

# A rank correlation of fewer shops says nothing.
LEAST_SHOPS = 5
# Settings of a world that change how much there is to learn from, and nothing else of its shops.
_SIZES = ("corpus.pairs_per_shop",)


@dataclass(frozen=True)
class Trait:
    """A property of a shop; `logarithmic`: for its axis."""

    name: str
    label: str
    of: Callable[[ShopProfile], float | None]
    logarithmic: bool = False


TRAITS = (
    Trait("training_pairs", "Training pairs of the shop", lambda profile: float(profile.training_pairs), True),
    Trait("unlikeness", "Unlikeness to the other shops (bits)", lambda profile: profile.unlikeness),
)


@dataclass(frozen=True)
class Point:
    """A shop's trait and its difference; `shop` is one over all sizes that were swept."""

    value: float
    difference: ShopDifference
    shop: tuple[object, ...]


@dataclass(frozen=True)
class Association:
    """An arm's differences to its baseline by a trait.

    `correlation`: Spearman's rho, drawn by shops; None for fewer than five shops, or where the trait or the
    difference is the same in all.
    """

    label: str
    baseline: str
    trait: Trait
    measure: Measure
    points: tuple[Point, ...]
    correlation: Estimate | None

    @property
    def shops(self) -> int:
        """Different shops among the points."""
        return len({point.shop for point in self.points})


def associations(verdicts: Sequence[Verdict]) -> list[Association]:
    """Every trait for every arm and outcome, over all worlds that differ in the shops' sizes alone.

    Arms of runs that tell no profile are left out.
    """
    found: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault((_series(verdict), verdict.baseline.arm, verdict.measure.name), []).append(verdict)
    result = []
    for (label, baseline, _), several in found.items():
        for trait in TRAITS:
            points = tuple(point for verdict in several for point in _points(verdict, trait))
            if points:
                correlation = _correlation(points, derive_seed(0, "report", "traits", label, baseline, trait.name))
                result.append(Association(label, baseline, trait, several[0].measure, points, correlation))
    return result


def _series(verdict: Verdict) -> str:
    """The arm with everything that was swept but sizes."""
    kept = verdict.group.settings(lambda name: name not in _SIZES)
    return f"{verdict.group.arm} ({settings_text(kept)})" if kept else verdict.group.arm


def _points(verdict: Verdict, trait: Trait) -> list[Point]:
    world = verdict.group.settings(lambda name: is_of_the_world(name) and name not in _SIZES)
    points = []
    for difference in verdict.shops:
        profile = verdict.world.profiles.get(difference.shop)
        value = None if profile is None else trait.of(profile)
        if value is not None:
            points.append(Point(value, difference, (world, *difference.shop)))
    return points


def _correlation(points: Sequence[Point], seed: int) -> Estimate | None:
    if len({point.shop for point in points}) < LEAST_SHOPS:
        return None
    values = [point.value for point in points]
    differences = [point.difference.estimate.mean for point in points]
    return bootstrap_rank_correlation(values, differences, [point.shop for point in points], seed)
