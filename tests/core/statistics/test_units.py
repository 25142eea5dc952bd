"""Draws of shops, dialogues and rows: held to a plain nested bootstrap, to closed forms, and to their coverage."""

import warnings

import numpy as np
import pytest

from ecc_fed.core.statistics import (
    Units,
    bootstrap_auc,
    bootstrap_correlation,
    bootstrap_kappa,
    bootstrap_mean,
    bootstrap_paired_difference,
    bootstrap_ratio_differences,
    bootstrap_ratios,
)

# Shops of 3, 1 and 2 dialogues, of 1 to 4 rows; their labels come again in other shops, and rows are shuffled.
SIZES = {"a": {0: 2, 1: 1, 2: 4}, "b": {0: 3}, "c": {1: 2, 5: 2}}
ROWS = [(shop, dialogue) for shop, of in SIZES.items() for dialogue, rows in of.items() for _ in range(rows)]
ROWS = [ROWS[place] for place in np.random.default_rng(0).permutation(len(ROWS))]
UNITS = Units(*map(list, zip(*ROWS, strict=True)))


def counts_of(units, resamples, seed=1):
    return np.concatenate(list(units.resampled_counts(seed, resamples)))


def plain_nested_draw(rng):
    """Positions of the rows of one resample, drawn as the words say."""
    places = []
    for shop in rng.choice(list(SIZES), len(SIZES)):
        for dialogue in rng.choice(list(SIZES[shop]), len(SIZES[shop])):
            of_it = [place for place, row in enumerate(ROWS) if row == (shop, dialogue)]
            places += rng.choice(of_it, len(of_it)).tolist()
    return places


def test_a_draw_takes_as_many_shops_dialogues_and_rows_as_there_are():
    for counts in counts_of(UNITS, 200):
        times = 0
        for shop, dialogues in SIZES.items():
            of_shop = {
                dialogue: counts[[place for place, row in enumerate(ROWS) if row == (shop, dialogue)]].sum() / rows
                for dialogue, rows in dialogues.items()
            }
            assert all(came == int(came) for came in of_shop.values()), "a dialogue comes whole times"
            drawn = sum(of_shop.values()) / len(dialogues)
            assert drawn == int(drawn), "and so does a shop"
            times += drawn
        assert times == len(SIZES)


def test_draws_are_distributed_as_a_plain_nested_bootstrap():
    rng = np.random.default_rng(2)
    plain = np.array([np.bincount(plain_nested_draw(rng), minlength=len(ROWS)) for _ in range(8000)])
    ours = counts_of(UNITS, 8000)
    assert ours.mean(axis=0) == pytest.approx(np.ones(len(ROWS)), abs=0.1)
    assert np.cov(ours.T) == pytest.approx(np.cov(plain.T), abs=0.25)
    values = np.random.default_rng(3).normal(size=len(ROWS))
    quantiles = [np.quantile(of @ values / of.sum(axis=1), [0.025, 0.25, 0.5, 0.75, 0.975]) for of in (ours, plain)]
    assert quantiles[0] == pytest.approx(quantiles[1], abs=0.06)


def test_the_variance_of_a_mean_has_its_closed_form():
    """Balanced: a shop's mean varies over shops, a dialogue's within its shop, a row's within its dialogue."""
    shops, dialogues, rows = 5, 7, 3
    rng = np.random.default_rng(4)
    values = (
        rng.normal(size=(shops, 1, 1))
        + rng.normal(size=(shops, dialogues, 1))
        + rng.normal(size=(shops, dialogues, rows))
    )
    of_dialogues, of_shops = values.mean(axis=2), values.mean(axis=(1, 2))
    expected = of_shops.var() / shops
    expected += of_dialogues.var(axis=1).mean() / (shops * dialogues)
    expected += values.var(axis=2).mean() / (shops * dialogues * rows)
    place = np.arange(values.size)
    units = Units((place // (dialogues * rows)).tolist(), (place // rows).tolist())
    draws = counts_of(units, 20_000) @ values.ravel() / values.size
    assert draws.var() == pytest.approx(expected, rel=0.03)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.02)


def test_a_single_shop_draws_dialogues_and_single_rows_draw_rows():
    one_shop = Units(["a"] * 6, [0, 0, 1, 1, 2, 2])
    assert (counts_of(one_shop, 100).reshape(100, 3, 2).sum(axis=2) % 2 == 0).all()
    draws = np.random.default_rng(1).integers(0, 5, size=(100, 5))
    plain = np.array([np.bincount(draw, minlength=5) for draw in draws])
    assert (counts_of(Units.single(5), 100) == plain).all()


def test_labels_are_names_only():
    values = np.random.default_rng(5).random(len(ROWS))
    renamed = Units([shop.upper() for shop in UNITS.shops], [f"{dialogue}!" for dialogue in UNITS.dialogues])
    assert bootstrap_mean(values, renamed, seed=0) == bootstrap_mean(values, UNITS, seed=0)
    swapped = Units(UNITS.shops, [0] * len(ROWS))
    assert bootstrap_mean(values, swapped, seed=0) != bootstrap_mean(values, UNITS, seed=0)


def test_an_estimate_counts_the_shops_and_dialogues_of_the_rows_that_take_part():
    ones = np.ones((len(ROWS), 2))
    ones[[shop != "c" for shop in UNITS.shops], 1] = 0
    every, one_shop = bootstrap_ratios(ones, ones, UNITS, seed=0)
    assert (every.n, every.shops, every.dialogues) == (14, 3, 6)
    assert (one_shop.n, one_shop.shops, one_shop.dialogues) == (4, 1, 2)
    alone = bootstrap_mean(np.arange(4.0), Units(["a"] * 4, [0, 0, 1, 1]), seed=0)
    assert (alone.n, alone.shops, alone.dialogues) == (4, None, 2)


def test_one_dialogue_says_nothing_about_spread():
    estimate = bootstrap_mean([1.0, 2.0, 4.0], Units([0, 0, 0], ["d", "d", "d"]), seed=0)
    assert (estimate.low, estimate.high, estimate.n, estimate.dialogues) == (None, None, 3, 1)


def brute_force_area(scores, verdicts):
    good, bad = scores[verdicts == 1], scores[verdicts == 0]
    return np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad])


def brute_force_kappa(a, b):
    observed, expected = np.mean(a == b), a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return (observed - expected) / (1 - expected)


RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(2, 14))
Y += X
YES, NO = (X > -0.4).astype(float), (Y > 0.3).astype(float)
WEIGHTS = RNG.uniform(1, 3, 14)
ONES = np.ones(14)
FIGURES = {
    "mean": (lambda i: X[i].mean(), lambda **k: bootstrap_mean(X, **k)),
    "paired": (lambda i: (X - Y)[i].mean(), lambda **k: bootstrap_paired_difference(X, Y, **k)),
    "ratio": (lambda i: X[i].sum() / WEIGHTS[i].sum(), lambda **k: bootstrap_ratios(X, WEIGHTS, **k)[0]),
    "difference": (
        lambda i: X[i].sum() / WEIGHTS[i].sum() - Y[i].mean(),
        lambda **k: bootstrap_ratio_differences((X, WEIGHTS), (Y, ONES), **k)[0],
    ),
    "correlation": (lambda i: np.corrcoef(X[i], Y[i])[0, 1], lambda **k: bootstrap_correlation(X, Y, **k)),
    "kappa": (lambda i: brute_force_kappa(YES[i], NO[i]), lambda **k: bootstrap_kappa(YES, NO, **k)),
    "area": (lambda i: brute_force_area(X[i], NO[i]), lambda **k: bootstrap_auc(X, NO, **k)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_computed_anew_on_draws_of_whole_units(name):
    figure, bootstrap = FIGURES[name]
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        draws = [np.repeat(np.arange(14), counts.astype(int)) for counts in counts_of(UNITS, 300, seed=7)]
        values = np.array([figure(draw) for draw in draws])
    values = values[np.isfinite(values)]
    estimate = bootstrap(units=UNITS, seed=7, resamples=300)
    assert estimate.mean == pytest.approx(figure(np.arange(14)))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    with pytest.raises(ValueError, match="14 rows need as many units, got 13"):
        bootstrap(units=UNITS.take(range(13)), seed=7)


def simulated(rng, between, shops=12, dialogues=10, rows=2):
    """Standard normal values of mean 0, of which a share `between` of the variance lies between shops."""
    values = np.sqrt(between) * rng.normal(size=(shops, 1, 1))
    values = values + np.sqrt(0.5 * (1 - between)) * rng.normal(size=(shops, dialogues, 1))
    return (values + np.sqrt(0.5 * (1 - between)) * rng.normal(size=(shops, dialogues, rows))).ravel()


def coverage(units, between, trials=200):
    rng = np.random.default_rng(8)
    found = [bootstrap_mean(simulated(rng, between), units, seed=trial, resamples=300) for trial in range(trials)]
    return np.mean([estimate.low <= 0 <= estimate.high for estimate in found])


def test_an_interval_over_shops_holds_the_truth_where_one_over_rows_does_not():
    place = np.arange(240)
    nested, flat = Units((place // 20).tolist(), (place // 2).tolist()), Units.single(240)
    assert 0.88 <= coverage(nested, 0.2) <= 0.98
    assert coverage(flat, 0.2) < 0.75
    assert coverage(nested, 0.0) >= 0.95, "where shops do not differ it is too wide, never too narrow"


def test_what_is_refused_is_named():
    with pytest.raises(ValueError, match="3 rows have a shop and 2 a dialogue"):
        Units([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="2 rows need as many units, got 3"):
        bootstrap_mean([1.0, 2.0], Units.single(3), seed=0)
    assert bootstrap_mean([], Units.single(0), seed=0) is None
