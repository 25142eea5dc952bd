"""Isotonic regression: the nearest nondecreasing step function, by pooling adjacent violators (PAVA)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Isotonic:
    """The nondecreasing function of a score that is nearest to what was observed, in squared error.

    Attributes:
        scores: (steps,), ascending: the least score of every step.
        levels: (steps,), ascending: the value from there on. Below the first score it is the first level.
    """

    scores: Values
    levels: Values

    def __call__(self, scores: Sequence[float] | Values) -> Values:
        """(n,) scores -> (n,) levels."""
        step = np.searchsorted(self.scores, np.asarray(scores, dtype=np.float64), side="right") - 1
        levels: Values = self.levels[np.maximum(step, 0)]
        return levels


def fit_isotonic(scores: Sequence[float], values: Sequence[float], weights: Sequence[float]) -> Isotonic:
    """Weighted isotonic regression of values on scores (Ayer et al. 1955); equal scores share a level.

    Raises:
        ValueError: no observation, a weight that is not above 0, or the three differ in length.
    """
    if not scores or not len(scores) == len(values) == len(weights) or min(weights) <= 0:
        raise ValueError(
            f"isotonic regression got {len(scores)} scores, {len(values)} values and {len(weights)} weights, which "
            "must be as many, at least one, and the weights above 0"
        )
    starts, place = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    mass = np.bincount(place, weights=np.asarray(weights, dtype=np.float64))
    sums = np.bincount(place, weights=np.asarray(weights, dtype=np.float64) * np.asarray(values, dtype=np.float64))
    blocks: list[tuple[float, float, float]] = []  # least score, weighted sum, weight
    for start, total, weight in zip(starts.tolist(), sums.tolist(), mass.tolist(), strict=True):
        blocks.append((start, total, weight))
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            _, total, weight = blocks.pop()
            first, before, heavier = blocks.pop()
            blocks.append((first, before + total, heavier + weight))
    levels = np.array([total / weight for _, total, weight in blocks])
    return Isotonic(np.array([first for first, _, _ in blocks]), levels)
