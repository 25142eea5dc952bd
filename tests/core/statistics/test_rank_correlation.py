"""Spearman's rho over clusters: draws held to a plain loop, clusters that move together, and coverage."""

import numpy as np
import pytest

from ecc_fed.core.statistics import bootstrap_rank_correlation, spearman


def test_draws_equal_those_of_a_plain_loop_over_clusters():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 6, 15), rng.integers(0, 6, 15)
    clusters = [f"c{point % 6}" for point in range(15)]
    members = [[point for point in range(15) if point % 6 == number] for number in range(6)]
    found = bootstrap_rank_correlation(x, y, clusters, 7, resamples=500)
    counts = np.random.default_rng(7).multinomial(6, np.full(6, 1 / 6), size=500)
    draws = []
    for row in counts:
        points = [point for number, times in enumerate(row) for point in members[number] * times]
        rho = spearman(x[points], y[points])
        draws += [] if rho is None else [rho]
    assert found.mean == pytest.approx(spearman(x, y))
    assert [found.low, found.high] == pytest.approx(np.percentile(draws, [2.5, 97.5]))
    assert (found.n, found.dialogues) == (15, 6)


def test_a_monotone_curve_is_one_and_any_monotone_change_of_a_side_is_none():
    x = np.arange(12.0)
    assert bootstrap_rank_correlation(x, x**3, range(12), 1).low == pytest.approx(1)
    assert bootstrap_rank_correlation(x, -np.exp(x), range(12), 1).high == pytest.approx(-1)
    y = np.random.default_rng(4).normal(size=12)
    assert bootstrap_rank_correlation(np.log1p(x), y, range(12), 1) == bootstrap_rank_correlation(x, y, range(12), 1)


def test_points_that_repeat_a_cluster_add_no_certainty():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=20), rng.normal(size=20)
    once = bootstrap_rank_correlation(x, y, range(20), 3)
    thrice = bootstrap_rank_correlation(np.tile(x, 3), np.tile(y, 3), list(range(20)) * 3, 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=0.02)
    alone = bootstrap_rank_correlation(np.tile(x, 3), np.tile(y, 3), range(60), 3)
    assert alone.high - alone.low < 0.7 * (thrice.high - thrice.low)


def test_nothing_to_correlate():
    assert bootstrap_rank_correlation([1, 2], [1, 2], "ab", 1) is None
    assert bootstrap_rank_correlation([1, 1, 1], [1, 2, 3], "abc", 1) is None
    assert bootstrap_rank_correlation([1, 2, 3], [1, 2, 3], "aaa", 1).low is None
    with pytest.raises(ValueError, match="3 points need as many clusters, got 2"):
        bootstrap_rank_correlation([1, 2, 3], [1, 2, 3], "ab", 1)


def test_the_interval_holds_zero_where_there_is_nothing():
    rng = np.random.default_rng(9)
    held = [
        found.low <= 0 <= found.high
        for trial in range(200)
        if (found := bootstrap_rank_correlation(rng.normal(size=18), rng.normal(size=18), range(18), trial)) is not None
    ]
    assert np.mean(held) > 0.88
