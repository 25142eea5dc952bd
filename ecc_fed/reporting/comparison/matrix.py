"""Every arm on every shop's own test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, Values, bootstrap_ratios
from ecc_fed.reporting.comparison.worlds import OUTCOMES, ShopKey, World
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.units import QueryKey


@dataclass(frozen=True)
class Matrix:
    """Figures of a world by (shop, group's label, outcome's name); None where no query has that outcome."""

    world: World
    cells: Mapping[tuple[ShopKey, str, str], Estimate | None]

    def cell(self, shop: ShopKey, label: str, measure: Measure) -> Estimate | None:
        """One figure."""
        return self.cells.get((shop, label, measure.name))


def shop_matrix(world: World) -> Matrix:
    """Every outcome of every arm on every shop's test queries, each interval over the shop's dialogues.

    Arms share a shop's draws.
    """
    cells: dict[tuple[ShopKey, str, str], Estimate | None] = {}
    labels = [group.label for group in world.groups]
    for shop, keys in world.queries.items():
        of_arms = [fractions([world.finals[label].get(key) for key in keys]) for label in labels]
        above, below = (np.concatenate(parts, axis=1) for parts in zip(*of_arms, strict=True))
        seed = derive_seed(0, "report", "matrix", world.label, str(shop.seed), shop.shop_id)
        found = bootstrap_ratios(np.nan_to_num(above), np.nan_to_num(below), dialogues_of(world, keys), seed)
        columns = [(label, measure.name) for label in labels for measure in OUTCOMES]
        cells |= {(shop, *column): estimate for column, estimate in zip(columns, found, strict=True)}
    return Matrix(world, cells)


def fractions(rows: Sequence[SampleRow | None]) -> tuple[Values, Values]:
    """Numerators and denominators, each (rows, outcomes); NaN where a row or its outcome is missing."""
    nothing = (float("nan"), float("nan"))
    cells = [[nothing if row is None else measure.fraction(row) or nothing for measure in OUTCOMES] for row in rows]
    array = np.array(cells, dtype=np.float64).reshape(len(rows), len(OUTCOMES), 2)
    return array[:, :, 0], array[:, :, 1]


def dialogues_of(world: World, keys: Sequence[QueryKey]) -> Units:
    """The dialogues that one shop's queries belong to; one shared by seeds is one."""
    sessions = [next(rows[key].session_id for rows in world.finals.values() if key in rows) for key in keys]
    return Units([0] * len(keys), sessions)
