"""Whether chances come true: expected calibration error and the bins behind it (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Queries whose chance lies in [low, high): their number, mean chance, and how many of them came true."""

    low: float
    high: float
    queries: float
    chance: float
    frequency: float


def reliability(chances: Sequence[float], good: Sequence[bool], counts: npt.ArrayLike | None = None) -> list[Bin]:
    """The bins of equal width that hold a query, from the lowest; a chance of 1 belongs to the last.

    Raises:
        ValueError: a chance outside 0 to 1, or the two differ in length.
    """
    chance, came = np.asarray(chances, dtype=np.float64), np.asarray(good, dtype=np.float64)
    weight = np.ones(len(chance)) if counts is None else np.asarray(counts, dtype=np.float64)
    if not len(chance) == len(came) == len(weight) or (len(chance) and not 0 <= chance.min() <= chance.max() <= 1):
        raise ValueError(f"calibration got {len(chance)} chances and {len(came)} outcomes, chances must lie in 0..1")
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    sizes, sums, trues = (
        np.bincount(place, weights=weight * column, minlength=BINS) for column in (np.ones(len(chance)), chance, came)
    )
    return [
        Bin(i / BINS, (i + 1) / BINS, float(sizes[i]), float(sums[i] / sizes[i]), float(trues[i] / sizes[i]))
        for i in range(BINS)
        if sizes[i] > 0
    ]


def calibration_error(chances: Sequence[float], good: Sequence[bool], counts: npt.ArrayLike | None = None) -> float:
    """Mean distance between chance and frequency over the bins, weighted by their queries; 0 without any query."""
    bins = reliability(chances, good, counts)
    total = sum(each.queries for each in bins)
    return sum(each.queries * abs(each.chance - each.frequency) for each in bins) / total if total else 0.0
