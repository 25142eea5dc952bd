"""Ratios of sums over rows, sum(numerator) / sum(denominator), their differences, and means.

A mean is the case of denominators 1, a share of wrong answers counts the wrong ones below, a perplexity's exponent
counts characters. Figures computed together share their draws, so a difference between two arms that saw the same
queries is paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecc_fed.core.statistics.resampling import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    check_units,
    column_array,
    divide,
    estimates,
    resampled,
)
from ecc_fed.core.statistics.units import Units, Values


def bootstrap_ratios(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    units: Units,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Estimate | None]:
    """Several ratios of sums over the same rows, from one set of draws.

    Args:
        numerators: (rows, figures).
        denominators: (rows, figures), at least 0; a row with denominator 0 (and numerator 0) takes no part in that
            figure.
        units: of the rows.
        seed: of the draws.
        resamples: number of draws.
        confidence: share of the draws inside the interval.

    Returns:
        One estimate for every figure; None where no row takes part.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    above, below = column_array(numerators, "numerators"), column_array(denominators, "denominators")
    if above.shape != below.shape:
        raise ValueError(f"numerators {above.shape} and denominators {below.shape} differ in shape")
    n, figures = above.shape
    check_units(units, n)
    if n == 0:
        return [None] * figures
    both = np.hstack([above, below])
    sums = resampled(units, seed, resamples, lambda counts: counts @ both)
    points = divide(above.sum(axis=0), below.sum(axis=0))
    draws = divide(sums[:, :figures], sums[:, figures:])
    return estimates(points, draws, below > 0, units, confidence)


def bootstrap_ratio_differences(
    left: tuple[npt.ArrayLike, npt.ArrayLike],
    right: tuple[npt.ArrayLike, npt.ArrayLike],
    units: Units,
    seed: int,
    *,
    exponentials: npt.ArrayLike | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Estimate | None]:
    """Paired differences left - right of ratios of sums: row i of both sides is the same query.

    Args:
        left: numerators and denominators, each (rows, figures).
        right: the same for the other side, in the same order of rows.
        units: of the rows.
        seed: of the draws, which both sides share.
        exponentials: (figures,) bool; True compares exp(ratio), as a perplexity does.
        resamples: number of draws.
        confidence: share of the draws inside the interval.

    Returns:
        One estimate for every figure, with n the rows that take part on either side; None where a side has none.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    parts = [column_array(part, name) for side, name in ((left, "left"), (right, "right")) for part in side]
    if len({part.shape for part in parts}) != 1:
        raise ValueError(f"the sides of a paired difference differ in shape: {[part.shape for part in parts]}")
    n, figures = parts[0].shape
    check_units(units, n)
    if n == 0:
        return [None] * figures
    exponent = np.zeros(figures, dtype=bool) if exponentials is None else np.asarray(exponentials, dtype=bool)

    def difference(a: Values, b: Values, c: Values, d: Values) -> Values:
        first, second = divide(a, b), divide(c, d)
        return np.where(exponent, np.exp(np.where(exponent, first, 0.0)), first) - np.where(
            exponent, np.exp(np.where(exponent, second, 0.0)), second
        )

    all_parts = np.hstack(parts)
    sums = np.split(resampled(units, seed, resamples, lambda counts: counts @ all_parts), 4, axis=1)
    points = difference(*[part.sum(axis=0) for part in parts])
    return estimates(points, difference(*sums), (parts[1] > 0) | (parts[3] > 0), units, confidence)


def bootstrap_mean(
    values: npt.ArrayLike,
    units: Units,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """The mean of one value a row, with its interval; None for no rows."""
    column = column_array(values, "values")
    return bootstrap_ratios(column, np.ones_like(column), units, seed, resamples=resamples, confidence=confidence)[0]


def bootstrap_paired_difference(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    units: Units,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """mean(left - right) over the same rows in the same order, with its interval.

    Raises:
        ValueError: the two differ in length, or a value is not finite.
    """
    first, second = column_array(left, "left"), column_array(right, "right")
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs the same queries on both sides: {first.shape}, {second.shape}")
    return bootstrap_mean(first - second, units, seed, resamples=resamples, confidence=confidence)


def weighted_mean(values: Sequence[float | None], weights: Sequence[float] | None = None) -> float | None:
    """sum(w x) / sum(w) over the values that are there; None where their weights sum to 0. Without weights all count 1.

    Raises:
        ValueError: lengths differ, or a weight is negative.
    """
    weights = [1.0] * len(values) if weights is None else weights
    if any(weight < 0 for weight in weights):
        raise ValueError(f"weights must be at least 0, got {min(weights)}")
    there = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = sum(weight for _, weight in there)
    return sum(value * weight for value, weight in there) / total if total > 0 else None
