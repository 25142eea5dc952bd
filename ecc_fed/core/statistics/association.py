"""How far two values of the same rows go together: correlations, agreement of verdicts, area under the curve."""

from __future__ import annotations

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


def ranks(values: npt.ArrayLike) -> Values:
    """Ranks from 1; ties share the mean of their ranks."""
    array = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


def pearson(left: npt.ArrayLike, right: npt.ArrayLike) -> float | None:
    """Pearson's r; None for fewer than three points or where a side is constant.

    Raises:
        ValueError: the two differ in length, or a value is not finite.
    """
    x, y = column_array(left, "left")[:, 0], column_array(right, "right")[:, 0]
    if x.shape != y.shape:
        raise ValueError(f"a correlation needs as many values on both sides: {x.shape}, {y.shape}")
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def spearman(left: npt.ArrayLike, right: npt.ArrayLike) -> float | None:
    """Spearman's rho: Pearson's r of the ranks, ties sharing their mean rank."""
    return pearson(ranks(left), ranks(right))


def bootstrap_correlation(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    units: Units,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """Pearson's r with its interval; None where `pearson` is None."""
    point = pearson(left, right)
    if point is None:
        return None
    # Centred first: r does not depend on the means, and moments of centred values lose no digits.
    x = np.asarray(left, dtype=np.float64)
    y = np.asarray(right, dtype=np.float64)
    x, y = x - x.mean(), y - y.mean()
    check_units(units, len(x))
    moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    # A resample may have more rows than another: shops and dialogues differ in size.
    total, *sums = resampled(units, seed, resamples, lambda counts: counts @ moments).T
    mean_x, mean_y, xx, yy, xy = (values / total for values in sums)
    spread = (xx - mean_x**2) * (yy - mean_y**2)
    # A resample in which one side is constant has no correlation and takes no part.
    defined = spread > 1e-12 * np.var(x) * np.var(y)
    draws = np.where(defined, (xy - mean_x * mean_y) / np.sqrt(np.where(defined, spread, 1.0)), np.nan)
    everyone = np.ones((len(x), 1), dtype=bool)
    return estimates(np.array([point]), np.clip(draws, -1.0, 1.0)[:, None], everyone, units, confidence)[0]


def _verdicts(values: npt.ArrayLike, name: str) -> Values:
    """Yes and no as a (queries,) array of 1 and 0."""
    array = column_array(values, name)[:, 0]
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"{name} must hold verdicts, yes or no")
    return array


def _kappas(sums: Values) -> Values:
    """Kappa of rows (both yes, left yes, right yes, queries); NaN where chance alone agrees always."""
    both, left, right, n = sums.T
    observed = (n - left - right + 2 * both) / n
    expected = (left * right + (n - left) * (n - right)) / n**2
    defined = expected < 1
    return np.where(defined, (observed - expected) / np.where(defined, 1 - expected, 1.0), np.nan)


def bootstrap_kappa(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    units: Units,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """Cohen's kappa of two judges' verdicts (yes or no) on the same queries, with its interval.

        kappa = (p_o - p_e) / (1 - p_e)

    p_o is the share of queries on which the two agree, p_e the share they would agree on by chance,
    each keeping to its own rate of yes (Cohen 1960). 1 is full agreement, 0 none beyond chance.

    Returns:
        None for no queries, or where both judges always give the same single verdict.

    Raises:
        ValueError: the two differ in length, or hold anything but verdicts.
    """
    a, b = _verdicts(left, "left"), _verdicts(right, "right")
    if a.shape != b.shape:
        raise ValueError(f"agreement needs both verdicts on every query: {a.shape}, {b.shape}")
    check_units(units, len(a))
    if len(a) == 0:
        return None
    columns = np.stack([a * b, a, b, np.ones_like(a)], axis=1)
    point = _kappas(columns.sum(axis=0, keepdims=True))
    draws = _kappas(resampled(units, seed, resamples, lambda counts: counts @ columns))
    return estimates(point, draws[:, None], np.ones((len(a), 1), dtype=bool), units, confidence)[0]


def area_under_curve(scores: npt.ArrayLike, verdicts: npt.ArrayLike) -> float | None:
    """Area under the ROC curve, as `bootstrap_auc` says, by ranks (Mann & Whitney 1947); None for one verdict alone."""
    yes = _verdicts(verdicts, "verdicts").astype(bool)
    ones, zeros = int(yes.sum()), int((~yes).sum())
    if not ones or not zeros:
        return None
    return (float(ranks(scores)[yes].sum()) - ones * (ones + 1) / 2) / (ones * zeros)


def bootstrap_auc(
    scores: npt.ArrayLike,
    verdicts: npt.ArrayLike,
    units: Units,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """Area under the ROC curve, with its interval.

    It is the chance that a query of verdict yes scores above one of verdict no, ties counting half
    (Hanley & McNeil 1982): 1 separates the two, 0.5 tells nothing. A resample that holds one
    verdict alone has no area and takes no part.

    Returns:
        None where one of the verdicts never occurs.

    Raises:
        ValueError: the two differ in length, a score is not finite, or a verdict is neither yes nor no.
    """
    values, yes = column_array(scores, "scores")[:, 0], _verdicts(verdicts, "verdicts")
    if values.shape != yes.shape:
        raise ValueError(f"an area needs a verdict for every score: {values.shape}, {yes.shape}")
    check_units(units, len(yes))
    if len(yes) == 0 or np.ptp(yes) == 0:
        return None
    order = np.argsort(values, kind="stable")
    yes = yes[order]
    # Where each group of tied scores begins.
    groups = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) > 0]))

    def areas(counts: Values) -> Values:
        above = np.add.reduceat(counts * yes, groups, axis=1)
        below = np.add.reduceat(counts * (1 - yes), groups, axis=1)
        won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
        return divide(won, above.sum(axis=1) * below.sum(axis=1))

    point = areas(np.ones((1, len(yes))))
    draws = resampled(units, seed, resamples, lambda counts: areas(counts[:, order]))
    return estimates(point, draws[:, None], np.ones((len(yes), 1), dtype=bool), units, confidence)[0]
