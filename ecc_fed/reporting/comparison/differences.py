"""Every arm against a baseline: over all shops, shop by shop, and how many shops it helped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, Values, bootstrap_ratio_differences
from ecc_fed.reporting.comparison.matrix import dialogues_of, fractions
from ecc_fed.reporting.comparison.worlds import OUTCOMES, ShopKey, World
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.units import QueryKey, seeded, units_of

Effect = Literal["helped", "hurt", "undecided"]
EFFECTS: tuple[Effect, ...] = ("helped", "hurt", "undecided")
USUAL_BASELINE = "local"
# Fewer dialogues that differ decide nothing: were all to point one way, chance alone would have it so in 1 of 16
# cases (two-sided sign test with five), and a bootstrap over so few is too narrow to say it.
LEAST_DIFFERING = 6


@dataclass(frozen=True)
class ShopDifference:
    """One shop's difference, arm minus baseline; `differing`: dialogues in which the two differ."""

    shop: ShopKey
    estimate: Estimate
    differing: int

    @property
    def effect(self) -> Effect:
        """Helped or hurt where the interval leaves zero out and enough dialogues differ, else undecided."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or self.differing < LEAST_DIFFERING or low <= 0 <= high:
            return "undecided"
        return "helped" if low > 0 else "hurt"


@dataclass(frozen=True)
class Verdict:
    """An arm against a baseline by one outcome, or against itself before evolution; `baseline` is then the arm itself.

    `shops` are those with a query to tell by; `unpaired` counts the arm's queries that the baseline did not get, or
    got otherwise.
    """

    world: World
    group: Group
    baseline: Group
    measure: Measure
    overall: Estimate | None
    shops: tuple[ShopDifference, ...]
    unpaired: int

    @property
    def counts(self) -> Counter[str]:
        """Shops by effect."""
        return Counter(shop.effect for shop in self.shops)

    @property
    def text(self) -> str:
        """Such as "helped 5 of 8, hurt 1, undecided 2"."""
        counts = self.counts
        return f"helped {counts['helped']} of {len(self.shops)}, hurt {counts['hurt']}, undecided {counts['undecided']}"


def baseline_arm(study: Study, wanted: str | None = None) -> str:
    """The arm that others are held against: the wanted one, else `local`, else the first of the report.

    Raises:
        UserError: no run is of the wanted arm; names those that are there.
    """
    arms = list(dict.fromkeys(group.arm for group in study.groups))
    if wanted is not None and wanted not in arms:
        raise UserError(f"No run has the arm {wanted} to compare with. Arms of these runs: {', '.join(arms)}.")
    return wanted or (USUAL_BASELINE if USUAL_BASELINE in arms else arms[0])


def verdicts(study: Study, world: World, baseline: str) -> list[Verdict]:
    """Every arm of the world against the baseline, outcome by outcome; arms without one are left out."""
    found: list[Verdict] = []
    for group in world.groups:
        other = study.baseline(baseline, group)
        if other is not None and other.label in world.finals:
            seed = derive_seed(0, "report", "comparison", group.key, other.key)
            found += _against(world, group, other, world.finals[other.label], seed)
    return found


def gains(world: World) -> list[Verdict]:
    """Every arm of the world that learned against itself before evolution, outcome by outcome."""
    return [
        verdict
        for group in world.groups
        if group.evolves
        for verdict in _against(
            world, group, group, group.rows("base"), derive_seed(0, "report", "gain", "by shop", group.key)
        )
    ]


def paired_keys(own: Mapping[QueryKey, SampleRow], others: Mapping[QueryKey, SampleRow]) -> list[QueryKey]:
    """The queries of both that ask the same and were answered the same by a human agent."""
    return [
        key
        for key, row in own.items()
        if (other := others.get(key)) is not None and (other.query, other.reference) == (row.query, row.reference)
    ]


def _against(
    world: World, group: Group, baseline: Group, others: Mapping[QueryKey, SampleRow], seed: int
) -> list[Verdict]:
    own = world.finals[group.label]
    paired = paired_keys(own, others)
    above = [fractions([rows[key] for key in paired])[0] for rows in (own, others)]
    both = ~np.isnan(above[0]) & ~np.isnan(above[1])  # (queries, outcomes)
    units = units_of(seeded({key: own[key] for key in paired}))
    overall = _differences(above, both, units, seed)
    by_shop: dict[ShopKey, list[int]] = {}
    for place, (query_seed, shop_id, _) in enumerate(paired):
        by_shop.setdefault(world.shop_of(query_seed, shop_id), []).append(place)
    of_measure: list[list[ShopDifference]] = [[] for _ in OUTCOMES]
    for shop in [shop for shop in world.queries if shop in by_shop]:
        places = np.array(by_shop[shop])
        keys = [paired[place] for place in places]
        parts = [part[places] for part in above]
        own_seed = derive_seed(seed, str(shop.seed), shop.shop_id)
        estimates = _differences(parts, both[places], dialogues_of(world, keys), own_seed)
        differing = _differing(parts, both[places], [own[key].session_id for key in keys])
        for number, estimate in enumerate(estimates):
            if estimate is not None:
                of_measure[number].append(ShopDifference(shop, estimate, int(differing[number])))
    unpaired = len(own) - len(paired)
    return [
        Verdict(world, group, baseline, measure, overall[number], tuple(of_measure[number]), unpaired)
        for number, measure in enumerate(OUTCOMES)
        if overall[number] is not None
    ]


def _differences(
    above: Sequence[Values], both: npt.NDArray[np.bool_], units: Units, seed: int
) -> list[Estimate | None]:
    """Every outcome's mean difference over the queries that have it on both sides; each counts 1."""
    first, second = (np.where(both, part, 0.0) for part in above)
    ones = both.astype(np.float64)
    return bootstrap_ratio_differences((first, ones), (second, ones), units, seed)


def _differing(above: Sequence[Values], both: npt.NDArray[np.bool_], sessions: Sequence[str]) -> Values:
    """(outcomes,): dialogues whose replies differ in sum."""
    _, place = np.unique(sessions, return_inverse=True)
    sums = np.zeros((place.max() + 1, len(OUTCOMES)))
    np.add.at(sums, place, np.where(both, above[0] - above[1], 0.0))
    return np.asarray((np.abs(sums) > 1e-9).sum(axis=0), dtype=np.float64)
