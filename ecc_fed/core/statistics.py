"""Confidence intervals by a seeded bootstrap over queries, correlations, and agreement. numpy only.

Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and
16): draw n queries with replacement, recompute the figure, repeat, and take the central 95% of
what came out. Every figure here is a ratio of sums over queries, sum(numerator) / sum(denominator):
a mean is the case of denominators 1, a share of wrong answers counts the wrong ones below, a
perplexity's exponent counts characters. Figures computed together share their draws, so a
difference between two arms that saw the same queries is paired.

An interval speaks of more queries to these shops, not of more shops. Where every query has the
same value it has no width, which is not certainty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
RESAMPLES = 2000
CONFIDENCE = 0.95
# Cells of the (resamples, queries) count matrix held at once: 16 MB of float64.
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, the interval around it, and the number of queries it rests on.

    `low` and `high` are None for fewer than two queries: one query says nothing about spread.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def _columns(values: npt.ArrayLike, name: str) -> Values:
    """`values` as a finite (queries, figures) array; a flat sequence is one figure."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (queries,) or (queries, figures), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite; leave such queries out first")
    return array


def _resampled_counts(n: int, seed: int, resamples: int) -> Iterator[Values]:
    """Blocks (draws, queries) of how often each of n queries came, `resamples` draws in all."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _resampled_sums(columns: Values, seed: int, resamples: int) -> Values:
    """(resamples, figures): sums of (queries, figures) over queries drawn with replacement."""
    return np.concatenate([counts @ columns for counts in _resampled_counts(len(columns), seed, resamples)])


def _divide(numerators: Values, denominators: Values) -> Values:
    """Elementwise ratio, NaN where the denominator is 0."""
    defined = denominators > 0
    return np.where(defined, numerators / np.where(defined, denominators, 1.0), np.nan)


def _interval(draws: Values, confidence: float) -> tuple[float, float]:
    """Central `confidence` of the draws that are defined."""
    draws = draws[np.isfinite(draws)]
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def _estimates(
    points: Values, draws: Values, counts: npt.NDArray[np.int64], confidence: float
) -> list[Estimate | None]:
    result: list[Estimate | None] = []
    for index, (point, n) in enumerate(zip(points, counts, strict=True)):
        if n == 0 or not np.isfinite(point):
            result.append(None)
        elif n == 1:
            result.append(Estimate(float(point), None, None, 1))
        else:
            result.append(Estimate(float(point), *_interval(draws[:, index], confidence), int(n)))
    return result


def bootstrap_ratios(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Estimate | None]:
    """Several ratios of sums over the same queries, from one set of draws.

    Args:
        numerators: (queries, figures).
        denominators: (queries, figures), at least 0; a query with denominator 0 (and numerator 0)
            takes no part in that figure.
        seed: of the draws.
        resamples: number of draws.
        confidence: share of the draws inside the interval.

    Returns:
        One estimate for every figure; None where no query takes part.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    above, below = _columns(numerators, "numerators"), _columns(denominators, "denominators")
    if above.shape != below.shape:
        raise ValueError(f"numerators {above.shape} and denominators {below.shape} differ in shape")
    n, figures = above.shape
    if n == 0:
        return [None] * figures
    sums = _resampled_sums(np.hstack([above, below]), seed, resamples)
    points = _divide(above.sum(axis=0), below.sum(axis=0))
    draws = _divide(sums[:, :figures], sums[:, figures:])
    return _estimates(points, draws, (below > 0).sum(axis=0), confidence)


def bootstrap_ratio_differences(
    left: tuple[npt.ArrayLike, npt.ArrayLike],
    right: tuple[npt.ArrayLike, npt.ArrayLike],
    seed: int,
    *,
    exponentials: npt.ArrayLike | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Estimate | None]:
    """Paired differences left - right of ratios of sums: row i of both sides is the same query.

    Args:
        left: numerators and denominators, each (queries, figures).
        right: the same for the other side, in the same order of queries.
        seed: of the draws, which both sides share.
        exponentials: (figures,) bool; True compares exp(ratio), as a perplexity does.
        resamples: number of draws.
        confidence: share of the draws inside the interval.

    Returns:
        One estimate for every figure, with n the queries that take part on either side; None
        where a side has none.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    parts = [_columns(part, name) for side, name in ((left, "left"), (right, "right")) for part in side]
    if len({part.shape for part in parts}) != 1:
        raise ValueError(f"the sides of a paired difference differ in shape: {[part.shape for part in parts]}")
    n, figures = parts[0].shape
    if n == 0:
        return [None] * figures
    exponent = np.zeros(figures, dtype=bool) if exponentials is None else np.asarray(exponentials, dtype=bool)

    def difference(a: Values, b: Values, c: Values, d: Values) -> Values:
        first, second = _divide(a, b), _divide(c, d)
        return np.where(exponent, np.exp(np.where(exponent, first, 0.0)), first) - np.where(
            exponent, np.exp(np.where(exponent, second, 0.0)), second
        )

    sums = np.split(_resampled_sums(np.hstack(parts), seed, resamples), 4, axis=1)
    points = difference(*[part.sum(axis=0) for part in parts])
    counts = ((parts[1] > 0) | (parts[3] > 0)).sum(axis=0)
    return _estimates(points, difference(*sums), counts, confidence)


def bootstrap_mean(
    values: npt.ArrayLike, seed: int, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate | None:
    """The mean of one value a query, with its interval; None for no queries."""
    column = _columns(values, "values")
    return bootstrap_ratios(column, np.ones_like(column), seed, resamples=resamples, confidence=confidence)[0]


def bootstrap_paired_difference(
    left: npt.ArrayLike, right: npt.ArrayLike, seed: int, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate | None:
    """mean(left - right) over the same queries in the same order, with its interval.

    Raises:
        ValueError: the two differ in length, or a value is not finite.
    """
    first, second = _columns(left, "left"), _columns(right, "right")
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs the same queries on both sides: {first.shape}, {second.shape}")
    return bootstrap_mean(first - second, seed, resamples=resamples, confidence=confidence)


def weighted_mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """sum(w x) / sum(w) over the values that are there; None where their weights sum to 0.

    Raises:
        ValueError: lengths differ, or a weight is negative.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError(f"weights must be at least 0, got {min(weights)}")
    there = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = sum(weight for _, weight in there)
    return sum(value * weight for value, weight in there) / total if total > 0 else None


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
    x, y = _columns(left, "left")[:, 0], _columns(right, "right")[:, 0]
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
    left: npt.ArrayLike, right: npt.ArrayLike, seed: int, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate | None:
    """Pearson's r with an interval over queries; None where `pearson` is None."""
    point = pearson(left, right)
    if point is None:
        return None
    # Centred first: r does not depend on the means, and moments of centred values lose no digits.
    x = np.asarray(left, dtype=np.float64)
    y = np.asarray(right, dtype=np.float64)
    x, y = x - x.mean(), y - y.mean()
    n = len(x)
    sums = _resampled_sums(np.stack([x, y, x * x, y * y, x * y], axis=1), seed, resamples) / n
    mean_x, mean_y, xx, yy, xy = sums.T
    spread = (xx - mean_x**2) * (yy - mean_y**2)
    # A resample in which one side is constant has no correlation and takes no part.
    defined = spread > 1e-12 * np.var(x) * np.var(y)
    draws = np.where(defined, (xy - mean_x * mean_y) / np.sqrt(np.where(defined, spread, 1.0)), np.nan)
    return Estimate(point, *_interval(np.clip(draws, -1.0, 1.0), confidence), n)


def _verdicts(values: npt.ArrayLike, name: str) -> Values:
    """Yes and no as a (queries,) array of 1 and 0."""
    array = _columns(values, name)[:, 0]
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
    left: npt.ArrayLike, right: npt.ArrayLike, seed: int, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
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
    if len(a) == 0:
        return None
    columns = np.stack([a * b, a, b, np.ones_like(a)], axis=1)
    point = _kappas(columns.sum(axis=0, keepdims=True))
    draws = _kappas(_resampled_sums(columns, seed, resamples))
    return _estimates(point, draws[:, None], np.array([len(a)]), confidence)[0]


def bootstrap_auc(
    scores: npt.ArrayLike,
    verdicts: npt.ArrayLike,
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
    values, yes = _columns(scores, "scores")[:, 0], _verdicts(verdicts, "verdicts")
    if values.shape != yes.shape:
        raise ValueError(f"an area needs a verdict for every score: {values.shape}, {yes.shape}")
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
        return _divide(won, above.sum(axis=1) * below.sum(axis=1))

    point = areas(np.ones((1, len(yes))))
    draws = np.concatenate([areas(counts[:, order]) for counts in _resampled_counts(len(yes), seed, resamples)])
    return _estimates(point, draws[:, None], np.array([len(yes)]), confidence)[0]
