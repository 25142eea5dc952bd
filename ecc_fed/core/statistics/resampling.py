"""A figure of many resamples, and the interval around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.core.statistics.units import Units, Values

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, the interval around it, and what both rest on.

    Attributes:
        mean: the figure.
        low, high: None for fewer than two dialogues: one says nothing about spread.
        n: rows, as a rule queries.
        shops: that were drawn; None where dialogues alone were, for the rows know only one shop.
        dialogues: that were drawn, within their shops where there are several.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    shops: int | None
    dialogues: int


def column_array(values: npt.ArrayLike, name: str) -> Values:
    """`values` as a finite (rows, figures) array; a flat sequence is one figure.

    Raises:
        ValueError: another shape, or a value that is not finite; names `name`.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (queries,) or (queries, figures), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite; leave such queries out first")
    return array


def check_units(units: Units, num_rows: int) -> None:
    """Refuses units of other rows.

    Raises:
        ValueError: their number differs.
    """
    if len(units) != num_rows:
        raise ValueError(f"{num_rows} rows need as many units, got {len(units)}")


def divide(numerators: Values, denominators: Values) -> Values:
    """Elementwise ratio, NaN where the denominator is 0."""
    defined = denominators > 0
    return np.where(defined, numerators / np.where(defined, denominators, 1.0), np.nan)


def resampled(units: Units, seed: int, resamples: int, figures: Callable[[Values], Values]) -> Values:
    """(resamples, figures): `figures` of the (draws, rows) counts, block by block."""
    return np.concatenate([figures(counts) for counts in units.resampled_counts(seed, resamples)])


def estimates(
    points: Values, draws: Values, taking_part: npt.NDArray[np.bool_], units: Units, confidence: float
) -> list[Estimate | None]:
    """An estimate for every figure, None where no row takes part in it.

    Args:
        points: (figures,)
        draws: (resamples, figures), NaN where a resample has no such figure.
        taking_part: (rows, figures)
        units: of the rows.
        confidence: share of the draws inside the interval.
    """
    result: list[Estimate | None] = []
    for index, point in enumerate(points):
        rows = taking_part[:, index]
        n = int(rows.sum())
        if n == 0 or not np.isfinite(point):
            result.append(None)
            continue
        shops, dialogues = units.shops_and_dialogues(rows)
        low, high = _interval(draws[:, index], confidence) if dialogues > 1 else (None, None)
        result.append(Estimate(float(point), low, high, n, shops, dialogues))
    return result


def _interval(draws: Values, confidence: float) -> tuple[float, float]:
    """Central `confidence` of the draws that are defined."""
    draws = draws[np.isfinite(draws)]
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)
