"""Held to closed forms, to identities, and to what an interval promises: its coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.core.statistics import (
    Estimate,
    bootstrap_auc,
    bootstrap_correlation,
    bootstrap_kappa,
    bootstrap_mean,
    bootstrap_paired_difference,
    bootstrap_ratio_differences,
    bootstrap_ratios,
    pearson,
    ranks,
    spearman,
    weighted_mean,
)

finite = st.floats(-100, 100, allow_nan=False, width=32)


def test_mean_interval_matches_the_normal_approximation():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    estimate = bootstrap_mean(values, seed=5, resamples=4000)
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half_width, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + half_width, abs=0.03)
    assert estimate.n == 400


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    trials = [bootstrap_mean(rng.random(60) < 0.4, seed=trial, resamples=400) for trial in range(300)]
    covered = np.mean([trial.low <= 0.4 <= trial.high for trial in trials])
    assert 0.90 <= covered <= 0.98


def test_seed_fixes_the_draws():
    values = np.random.default_rng(3).random(50)
    assert bootstrap_mean(values, seed=0) == bootstrap_mean(values, seed=0)
    assert bootstrap_mean(values, seed=0) != bootstrap_mean(values, seed=1)


def test_small_and_degenerate_samples():
    assert bootstrap_mean([], seed=0) is None
    single = bootstrap_mean([0.7], seed=0)
    assert (single.mean, single.low, single.high, single.n) == (0.7, None, None, 1)
    constant = bootstrap_mean([2.0] * 9, seed=0)
    assert (constant.low, constant.high) == (2.0, 2.0)
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_mean([1.0, float("nan")], seed=0)


def test_many_figures_equal_each_alone():
    rng = np.random.default_rng(4)
    above, below = rng.random((80, 3)), rng.random((80, 3)) + 0.1
    together = bootstrap_ratios(above, below, seed=9)
    for column in range(3):
        alone = bootstrap_ratios(above[:, column], below[:, column], seed=9)[0]
        assert together[column].mean == pytest.approx(alone.mean)
        assert together[column].low == pytest.approx(alone.low)
        assert together[column].high == pytest.approx(alone.high)


def test_blocks_of_draws_change_nothing_about_the_interval(monkeypatch):
    values = np.random.default_rng(5).random(100)
    whole = bootstrap_mean(values, seed=1, resamples=3000)
    monkeypatch.setattr("ecc_fed.core.statistics._BLOCK_CELLS", 700)
    blocks = bootstrap_mean(values, seed=1, resamples=3000)
    assert blocks.low == pytest.approx(whole.low, abs=0.005)
    assert blocks.high == pytest.approx(whole.high, abs=0.005)


def test_ratio_counts_only_queries_with_a_denominator():
    # Of four wrong answers three state another shop's value; right answers take no part.
    above = [1, 1, 1, 0, 0, 0]
    below = [1, 1, 1, 1, 0, 0]
    estimate = bootstrap_ratios(above, below, seed=0)[0]
    assert estimate.mean == 0.75
    assert estimate.n == 4
    assert 0 <= estimate.low < 0.75 < estimate.high <= 1
    assert bootstrap_ratios([0, 0], [0, 0], seed=0) == [None]
    with pytest.raises(ValueError, match="differ in shape"):
        bootstrap_ratios([1, 2], [1], seed=0)


def test_paired_difference_of_an_arm_with_itself_is_exactly_zero():
    values = np.random.default_rng(6).random(40)
    estimate = bootstrap_paired_difference(values, values, seed=0)
    assert (estimate.mean, estimate.low, estimate.high) == (0, 0, 0)


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(7)
    query = rng.normal(0, 5, 200)
    left, right = query + 1 + rng.normal(0, 0.1, 200), query
    paired = bootstrap_paired_difference(left, right, seed=0)
    assert paired.mean == pytest.approx(1, abs=0.05)
    assert paired.high - paired.low < 0.1
    unpaired = bootstrap_mean(left, seed=0)
    assert unpaired.high - unpaired.low > 1
    with pytest.raises(ValueError, match="same queries"):
        bootstrap_paired_difference([1.0, 2.0], [1.0], seed=0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=30))
def test_ratio_differences_with_denominators_of_one_are_mean_differences(pairs):
    left, right = np.array(pairs).T
    ones = np.ones(len(pairs))
    ratio = bootstrap_ratio_differences((left, ones), (right, ones), seed=3, resamples=200)[0]
    mean = bootstrap_paired_difference(left, right, seed=3, resamples=200)
    assert ratio.mean == pytest.approx(mean.mean, abs=1e-6)
    assert ratio.low == pytest.approx(mean.low, abs=1e-6)
    assert ratio.high == pytest.approx(mean.high, abs=1e-6)


def test_exponentials_compare_perplexities():
    nll, characters = np.array([20.0, 30.0]), np.array([10.0, 10.0])
    one, two = bootstrap_ratio_differences(
        (np.stack([nll, nll], 1), np.stack([characters, characters], 1)),
        (np.zeros((2, 2)), np.stack([characters, characters], 1)),
        seed=0,
        exponentials=[True, False],
    )
    assert one.mean == pytest.approx(np.exp(2.5) - 1)
    assert two.mean == pytest.approx(2.5)


def test_ratio_difference_is_missing_where_a_side_is():
    assert bootstrap_ratio_differences(([1, 0], [1, 1]), ([0, 0], [0, 0]), seed=0) == [None]
    assert bootstrap_ratio_differences((np.zeros((0, 2)),) * 2, (np.zeros((0, 2)),) * 2, seed=0) == [None, None]


def test_weighted_mean():
    assert weighted_mean([1.0, 3.0], [1, 3]) == 2.5
    assert weighted_mean([1.0, None], [1, 3]) == 1.0
    assert weighted_mean([None, 2.0], [1, 0]) is None
    assert weighted_mean([], []) is None
    with pytest.raises(ValueError, match="at least 0"):
        weighted_mean([1.0], [-1])


def test_correlations_by_hand():
    assert pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert pearson([1, 2, 3, 4], [1, -1, -1, 1]) == pytest.approx(0)
    assert pearson([1, 2, 3], [5, 5, 5]) is None
    assert pearson([1, 2], [1, 2]) is None
    # x = 0, 1, 2, y = 0, 0, 3: covariance sum 3, sums of squares 2 and 6.
    assert pearson([0, 1, 2], [0, 0, 3]) == pytest.approx(3 / np.sqrt(12))
    assert spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert ranks([10, 30, 10, 20]).tolist() == [1.5, 4, 1.5, 3]
    with pytest.raises(ValueError, match="as many values"):
        pearson([1, 2, 3], [1, 2])


def test_pearson_agrees_with_numpy_and_its_interval_with_fisher():
    rng = np.random.default_rng(8)
    x = rng.normal(1e6, 1, 300)
    y = 0.6 * (x - 1e6) + 0.8 * rng.normal(size=300)
    estimate = bootstrap_correlation(x, y, seed=0)
    assert estimate.mean == pytest.approx(np.corrcoef(x, y)[0, 1])
    z, half_width = np.arctanh(estimate.mean), 1.96 / np.sqrt(297)
    assert estimate.low == pytest.approx(np.tanh(z - half_width), abs=0.04)
    assert estimate.high == pytest.approx(np.tanh(z + half_width), abs=0.04)
    assert bootstrap_correlation([1, 1, 1], [1, 2, 3], seed=0) is None


def table(both, left_only, right_only, neither):
    """Verdicts of two judges with these counts."""
    left = [1] * (both + left_only) + [0] * (right_only + neither)
    right = [1] * both + [0] * left_only + [1] * right_only + [0] * neither
    return left, right


def test_kappa_equals_the_hand_computation():
    # p_o = 35/50 = 0.70; p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.50; kappa = 0.20 / 0.50.
    estimate = bootstrap_kappa(*table(20, 5, 10, 15), seed=1)
    assert estimate.mean == pytest.approx(0.4)
    assert estimate.n == 50
    assert 0.1 < estimate.low < 0.4 < estimate.high < 0.7


def test_kappa_interval_matches_the_large_sample_error():
    """Fleiss, Cohen and Everitt (1969): for equal marginals of one half, se = sqrt(p_o (1 - p_o) / n) / (1 - p_e)."""
    estimate = bootstrap_kappa(*table(300, 100, 100, 300), seed=2, resamples=4000)
    assert estimate.mean == pytest.approx(0.5)
    half_width = 1.96 * np.sqrt(0.75 * 0.25 / 800) / 0.5
    assert estimate.high - estimate.low == pytest.approx(2 * half_width, rel=0.1)


def test_kappa_of_full_no_and_opposite_agreement():
    assert bootstrap_kappa([1, 0, 1, 0], [1, 0, 1, 0], seed=0).mean == 1
    assert bootstrap_kappa(*table(6, 3, 4, 2), seed=0).mean == pytest.approx(0.0)
    assert bootstrap_kappa([1, 0], [0, 1], seed=0).mean == -1
    assert bootstrap_kappa([], [], seed=0) is None
    assert bootstrap_kappa([1, 1, 1], [1, 1, 1], seed=0) is None, "chance alone agrees always"
    assert bootstrap_kappa([True], [False], seed=0) == Estimate(0.0, None, None, 1)


def brute_force_area(scores, verdicts):
    good = [score for score, verdict in zip(scores, verdicts, strict=True) if verdict]
    bad = [score for score, verdict in zip(scores, verdicts, strict=True) if not verdict]
    return np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=25))
def test_area_equals_brute_force_over_all_pairs(points):
    scores, verdicts = zip(*points, strict=True)
    estimate = bootstrap_auc(scores, verdicts, seed=0, resamples=20)
    if len(set(verdicts)) == 1:
        assert estimate is None
    else:
        assert estimate.mean == pytest.approx(brute_force_area(scores, verdicts))
        assert estimate.low <= estimate.high


def test_area_of_a_resample_equals_the_area_of_the_queries_drawn():
    rng = np.random.default_rng(3)
    scores, verdicts = rng.integers(0, 6, 30) / 6, rng.random(30) < 0.5
    estimate = bootstrap_auc(scores, verdicts, seed=11, resamples=50)
    draws = np.random.default_rng(11).integers(0, 30, size=(50, 30))
    areas = [brute_force_area(scores[draw], verdicts[draw]) for draw in draws]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(areas, [2.5, 97.5])))


def test_area_is_one_where_the_score_separates_and_half_where_it_tells_nothing():
    separated = bootstrap_auc([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], seed=0)
    assert (separated.mean, separated.low, separated.high) == (1, 1, 1)
    assert bootstrap_auc([0.5] * 6, [0, 1] * 3, seed=0).mean == 0.5
    assert bootstrap_auc([], [], seed=0) is None


def test_verdicts_are_yes_or_no_and_come_in_pairs():
    with pytest.raises(ValueError, match="yes or no"):
        bootstrap_kappa([0.5, 1], [1, 0], seed=0)
    with pytest.raises(ValueError, match="both verdicts"):
        bootstrap_kappa([1, 0], [1], seed=0)
    with pytest.raises(ValueError, match="a verdict for every score"):
        bootstrap_auc([0.1, 0.2], [1], seed=0)
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_auc([0.1, float("nan")], [1, 0], seed=0)
