"""Spearman's rho over points that come in clusters, with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from ecc_fed.core.statistics.association import spearman
from ecc_fed.core.statistics.resampling import CONFIDENCE, RESAMPLES, Estimate, column_array, estimates
from ecc_fed.core.statistics.units import Units, Values


def bootstrap_rank_correlation(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    clusters: Sequence[Hashable],
    seed: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """Spearman's rho; its interval draws clusters whole, as many as there are, with replacement.

    A point's own error, as of a shop's figure, stands in the spread of the points already. A draw in which a side is
    constant has no correlation and takes no part.

    Args:
        left: (points,).
        right: (points,).
        clusters: of every point, such as its shop; points of one cluster are no independent draws.
        seed: of the draws.
        resamples: number of draws.
        confidence: share of the draws inside the interval.

    Returns:
        The estimate, with n the points and `dialogues` the clusters; None for fewer than three points, or where a
        side is constant.

    Raises:
        ValueError: lengths differ, or a value is not finite.
    """
    point = spearman(left, right)
    sides = [column_array(side, name)[:, 0] for side, name in ((left, "left"), (right, "right"))]
    if len(clusters) != len(sides[0]):
        raise ValueError(f"{len(sides[0])} points need as many clusters, got {len(clusters)}")
    if point is None:
        return None
    places = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    number = len(places)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)
    counts = drawn[:, [places[cluster] for cluster in clusters]].astype(np.float64)
    draws = _weighted_correlations(_mid_ranks(sides[0], counts), _mid_ranks(sides[1], counts), counts)
    everyone = np.ones((len(clusters), 1), dtype=bool)
    units = Units([0] * len(clusters), list(clusters))
    return estimates(np.array([point]), draws[:, None], everyone, units, confidence)[0]


def _mid_ranks(values: Values, counts: Values) -> Values:
    """(draws, points): each point's rank in a draw in which the points came `counts` times, ties sharing theirs."""
    different, place = np.unique(values, return_inverse=True)
    came = np.zeros((len(counts), len(different)))
    for point, group in enumerate(place):
        came[:, group] += counts[:, point]
    ranks = np.cumsum(came, axis=1) - (came - 1) / 2
    return np.asarray(ranks[:, place], dtype=np.float64)


def _weighted_correlations(x: Values, y: Values, counts: Values) -> Values:
    """(draws,): Pearson's r of the ranks, every point as often as it came; NaN where a side is constant."""
    total = counts.sum(axis=1, keepdims=True)
    x = x - (counts * x).sum(axis=1, keepdims=True) / total
    y = y - (counts * y).sum(axis=1, keepdims=True) / total
    spread = (counts * x * x).sum(axis=1) * (counts * y * y).sum(axis=1)
    # Ranks are halves of whole numbers: whatever spreads at all spreads by far more than this.
    defined = spread > 1e-9
    r = (counts * x * y).sum(axis=1) / np.sqrt(np.where(defined, spread, 1.0))
    return np.where(defined, np.clip(r, -1.0, 1.0), np.nan)
