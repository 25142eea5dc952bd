"""Held to closed forms, to identities, and to what an interval promises: its coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.core import statistics
from ecc_fed.core.statistics import Estimate, Units, pearson, ranks, spearman, weighted_mean

finite = st.floats(-100, 100, allow_nan=False, width=32)


def by_rows(bootstrap):
    """Every row a unit of its own: what shops and dialogues change is tested in test_units.py."""

    def call(first, *others, seed, **given):
        rows = first[0] if bootstrap is statistics.bootstrap_ratio_differences else first
        return bootstrap(first, *others, Units.single(len(rows)), seed, **given)

    return call


bootstrap_auc = by_rows(statistics.bootstrap_auc)
bootstrap_correlation = by_rows(statistics.bootstrap_correlation)
bootstrap_kappa = by_rows(statistics.bootstrap_kappa)
bootstrap_mean = by_rows(statistics.bootstrap_mean)
bootstrap_paired_difference = by_rows(statistics.bootstrap_paired_difference)
bootstrap_ratio_differences = by_rows(statistics.bootstrap_ratio_differences)
bootstrap_ratios = by_rows(statistics.bootstrap_ratios)


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


def mean(values):
    return float(np.mean(values))


def difference_of_ratios(rows):
    a, b, c, d = np.asarray(rows).sum(axis=0)
    return a / b - c / d if b > 0 and d > 0 else None


def difference_of_exponentials(rows):
    a, b, c, d = np.asarray(rows).sum(axis=0)
    return np.exp(a / b) - np.exp(c / d) if b > 0 and d > 0 else None


def ratio(rows):
    above, below = np.asarray(rows).sum(axis=0)
    return above / below if below > 0 else None


def correlation(rows):
    x, y = np.asarray(rows).T
    return None if np.ptp(x) == 0 or np.ptp(y) == 0 else float(np.corrcoef(x, y)[0, 1])


def kappa(rows):
    a, b = np.asarray(rows).T
    observed, expected = np.mean(a == b), a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return None if expected == 1 else (observed - expected) / (1 - expected)


def columns_of(rows, *columns):
    return [np.asarray(rows)[:, column] for column in columns]


RNG = np.random.default_rng(20)
FIGURES = {
    "mean": (mean, RNG.normal(size=9), lambda v, **k: bootstrap_mean(v, **k)),
    "paired": (
        lambda rows: mean(rows[:, 0] - rows[:, 1]),
        RNG.normal(size=(9, 2)),
        lambda v, **k: bootstrap_paired_difference(*columns_of(v, 0, 1), **k),
    ),
    "ratio": (
        ratio,
        # Few take part, so that some resamples have no denominator.
        np.array([[3.0, 2.0], [1.0, 4.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
        lambda v, **k: bootstrap_ratios(*columns_of(v, 0, 1), **k)[0],
    ),
    "difference": (
        difference_of_ratios,
        np.array([[3.0, 2.0, 1.0, 1.0], [1.0, 4.0, 0.0, 0.0], [0.0, 0.0, 2.0, 5.0], [1.0, 1.0, 1.0, 3.0]]),
        lambda v, **k: bootstrap_ratio_differences(columns_of(v, 0, 1), columns_of(v, 2, 3), **k)[0],
    ),
    "exponentials": (
        difference_of_exponentials,
        np.array([[3.0, 2.0, 1.0, 1.0], [1.0, 4.0, 2.0, 2.0], [2.0, 2.0, 2.0, 5.0]]),
        lambda v, **k: bootstrap_ratio_differences(columns_of(v, 0, 1), columns_of(v, 2, 3), exponentials=[True], **k)[
            0
        ],
    ),
    "correlation": (
        correlation,
        # A side that is mostly constant, so that some resamples have no correlation; far from 0, other units.
        np.array([[1e3, 5.0], [1e3, 5.5], [1e3, 7.0], [1e3 + 40, 5.25], [1e3, 5.0]]),
        lambda v, **k: bootstrap_correlation(*columns_of(v, 0, 1), **k),
    ),
    "kappa": (
        kappa,
        np.array([[1, 1], [1, 1], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]]),
        lambda v, **k: bootstrap_kappa(*columns_of(v, 0, 1), **k),
    ),
    "area": (
        lambda rows: brute_force_area(*np.asarray(rows).T) if 0 < np.asarray(rows)[:, 1].sum() < len(rows) else None,
        np.array([[0.2, 1], [0.2, 0], [0.4, 0], [0.9, 1], [0.1, 0]]),
        lambda v, **k: bootstrap_auc(*columns_of(v, 0, 1), **k),
    ),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("confidence", [None, 0.6])
def test_an_interval_is_that_of_the_figure_computed_anew_on_every_draw(name, confidence):
    figure, rows, bootstrap = FIGURES[name]
    given = {} if confidence is None else {"confidence": confidence}
    n = len(rows)
    draws = np.random.default_rng(17).integers(0, n, size=(300, n))
    values = [value for draw in draws if (value := figure(rows[draw])) is not None]
    tail = 50 * (1 - (confidence or 0.95))
    with np.errstate(all="raise"):  # nothing is divided by zero on the way
        estimate = bootstrap(rows, seed=17, resamples=300, **given)
    assert estimate.mean == pytest.approx(figure(rows))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(values, [tail, 100 - tail])))
    if name in ("ratio", "difference", "correlation", "kappa", "area"):
        assert 0 < len(values) < 300, "some draws have no such figure, and take no part"


@pytest.mark.parametrize("name", FIGURES)
def test_two_thousand_resamples_and_95_percent_unless_told_otherwise(name):
    _, rows, bootstrap = FIGURES[name]
    assert bootstrap(rows, seed=1) == bootstrap(rows, seed=1, resamples=2000, confidence=0.95)


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_not_finite_is_refused(name):
    _, rows, bootstrap = FIGURES[name]
    for value in (np.nan, np.inf):
        broken = np.array(rows, dtype=np.float64)
        broken[-1] = value
        with pytest.raises(ValueError, match=r"not finite; leave such queries out first|must hold verdicts"):
            bootstrap(broken, seed=0)


def test_what_is_refused_is_named():
    ones, hole = [1.0, 1.0, 1.0], [1.0, float("nan"), 1.0]
    with pytest.raises(ValueError, match=r"^left holds values that are not finite"):
        pearson(hole, ones)
    with pytest.raises(ValueError, match=r"^right holds"):
        pearson(ones, hole)
    with pytest.raises(ValueError, match=r"^numerators holds"):
        bootstrap_ratios(hole, ones, seed=0)
    with pytest.raises(ValueError, match=r"^denominators holds"):
        bootstrap_ratios(ones, hole, seed=0)
    for left, right, name in (((hole, ones), (ones, ones), "left"), ((ones, ones), (ones, hole), "right")):
        with pytest.raises(ValueError, match=f"^{name} holds"):
            bootstrap_ratio_differences(left, right, seed=0)
    with pytest.raises(ValueError, match=r"^values holds"):
        bootstrap_mean(hole, seed=0)
    with pytest.raises(ValueError, match=r"^left holds"):
        bootstrap_paired_difference(hole, ones, seed=0)
    with pytest.raises(ValueError, match=r"^right holds"):
        bootstrap_paired_difference(ones, hole, seed=0)
    for left, right, name in (([2, 0], [0, 1], "left"), ([0, 1], [2, 0], "right")):
        with pytest.raises(ValueError, match=f"^{name} must hold verdicts, yes or no$"):
            bootstrap_kappa(left, right, seed=0)
    with pytest.raises(ValueError, match=r"^scores holds"):
        bootstrap_auc(hole, [1, 0, 1], seed=0)
    with pytest.raises(ValueError, match=r"^verdicts must hold verdicts, yes or no$"):
        bootstrap_auc(ones, [1, 0, 2], seed=0)
    with pytest.raises(ValueError, match=r"^values must have shape \(queries,\) or .*, got \(1, 1, 1\)$"):
        bootstrap_mean([[[1.0]]], seed=0)
    with pytest.raises(ValueError, match=r"^numerators \(2, 1\) and denominators \(1, 1\) differ in shape$"):
        bootstrap_ratios([1, 2], [1], seed=0)
    with pytest.raises(ValueError, match=r"differ in shape: \[\(1, 1\), \(1, 1\), \(2, 1\), \(1, 1\)\]$"):
        bootstrap_ratio_differences(([1], [1]), ([1, 2], [1]), seed=0)


def test_figures_of_one_call_stand_apart():
    """Where a figure has no query, one or many, its neighbours are as they would be alone."""
    above = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    below = np.array([[2.0, 4.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    many, single, none = bootstrap_ratios(above, below, seed=2, resamples=100)
    assert single == Estimate(0.5, None, None, 1, None, 1)
    assert none is None
    assert (many, [none]) == (
        bootstrap_ratios(above[:, 0], below[:, 0], seed=2, resamples=100)[0],
        bootstrap_ratios(above[:, 2], below[:, 2], seed=2),
    )
    assert (many.mean, many.n) == (1.0, 3)
    assert bootstrap_ratios(np.zeros((0, 2)), np.zeros((0, 2)), seed=0) == [None, None]


def test_a_difference_counts_the_queries_that_take_part_on_either_side():
    left = ([1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 1.5])
    right = ([0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0])
    (estimate,) = bootstrap_ratio_differences(left, right, seed=0)
    assert (estimate.n, estimate.mean) == (3, 0.5 - 0.5)
    assert bootstrap_ratio_differences(right, left, seed=0)[0].n == 3
    other = ([2.0, 1.0, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0]), ([1.0, 1.0, 0.0, 3.0], [2.0, 1.0, 1.0, 1.0])
    two = [np.stack(parts, axis=1) for parts in zip((*left, *right), (*other[0], *other[1]), strict=True)]
    alone = bootstrap_ratio_differences(*other, seed=0)
    assert bootstrap_ratio_differences(two[:2], two[2:], seed=0) == [estimate, *alone], "figures stand apart"


def test_single_precision_is_computed_in_double():
    rng = np.random.default_rng(9)
    x, y = (rng.normal(1e4, 1, 50).astype(np.float32) for _ in range(2))
    wide = x.astype(np.float64), y.astype(np.float64)
    assert bootstrap_correlation(x, y, seed=0) == bootstrap_correlation(*wide, seed=0)
    assert pearson(x, y) == pearson(*wide)
    assert bootstrap_mean(x, seed=0) == bootstrap_mean(wide[0], seed=0)
    assert bootstrap_correlation(x, y, seed=0).n == 50


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 1e8), (1e8, 0.0), (1e-8, 0.0), (1e4, -1e9)])
def test_a_correlation_has_no_units(scale, offset):
    x, y = np.random.default_rng(10).normal(size=(2, 40))
    plain = bootstrap_correlation(x, y, seed=0, resamples=200)
    for left, right in ((x * scale + offset, y / scale), (x / scale, y * scale + offset)):
        other = bootstrap_correlation(left, right, seed=0, resamples=200)
        assert (other.mean, other.low, other.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=1e-5)


def test_a_correlation_never_leaves_minus_one_to_one():
    # Sums of these round to a ratio just above 1.
    x = np.arange(6) / 10
    noise = np.random.default_rng(7).random(7)
    for left, right in ((x, 3 * x), (noise, 3 * noise)):
        centred, other = left - left.mean(), right - right.mean()
        assert (centred @ other) / np.sqrt((centred @ centred) * (other @ other)) > 1
        assert pearson(left, right) == 1.0
        assert pearson(left, -right) == -1.0
        for sign in (1, -1):
            estimate = bootstrap_correlation(left, sign * right, seed=0, resamples=200)
            assert -1 <= estimate.low <= estimate.high <= 1


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
    monkeypatch.setattr("ecc_fed.core.statistics.units._BLOCK_CELLS", 700)
    blocks = bootstrap_mean(values, seed=1, resamples=3000)
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high), rel=1e-12), "the draws are the same"


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
    assert weighted_mean([3.0, 5.0], [0, 0]) is None
    assert weighted_mean([3.0, 5.0], [0.25, 0.25]) == 4.0
    with pytest.raises(ValueError, match="weights must be at least 0, got -1"):
        weighted_mean([1.0, 2.0], [3, -1])
    with pytest.raises(ValueError, match="shorter"):
        weighted_mean([1.0, 2.0], [1])


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
    assert bootstrap_kappa([True], [False], seed=0) == Estimate(0.0, None, None, 1, None, 1)


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
