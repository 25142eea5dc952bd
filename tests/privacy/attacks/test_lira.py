"""LiRA's scale and score by hand, and against the normal test that it stands for."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from ecc_fed.privacy.attacks.lira import logit_scale, offline_lira


def test_the_scale_is_the_logit_of_the_mean_probability() -> None:
    losses = np.array([0.05, 0.7, 3.0, 20.0])
    p = np.exp(-losses)
    assert np.allclose(logit_scale(-losses), np.log(p / (1 - p)))
    assert math.isfinite(logit_scale([0.0])[0]) and logit_scale([0.0])[0] > 15, "a reply that is certain"


def test_the_score_orders_as_the_one_sided_test_does() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.uniform(0.5, 3.0, 200)
    members = rng.random(200) < 0.5
    out = logit_scale(-np.abs(hardness + 0.1 * rng.normal(size=(4, 200))))
    losses = np.abs(hardness - 0.4 * members + 0.1 * rng.normal(size=200))
    found = offline_lira(-losses, out)
    deviations = out - out.mean(0)
    sigma = math.sqrt((deviations**2).sum() / (3 * 200))
    phi = logit_scale(-losses)
    test = [NormalDist(mean, sigma).cdf(value) for mean, value in zip(out.mean(0), phi, strict=True)]
    assert np.allclose([NormalDist().cdf(score) for score in found], test)
    # How hard a text is by itself drops out: members stand apart, though losses alone do not tell them.
    assert found[members].min() > np.median(found[~members]) and (-losses)[members].min() < np.median(
        (-losses)[~members]
    )


def test_one_shadow_says_nothing_of_spread_and_none_is_refused() -> None:
    out = logit_scale([[-1.0, -2.0]])
    assert np.allclose(offline_lira([-0.5, -2.0], out), logit_scale([-0.5, -2.0]) - out[0])
    assert offline_lira([-0.5, -2.0], out)[1] == pytest.approx(0.0)
    with pytest.raises(ValueError, match="a shadow at least"):
        offline_lira([-0.5], np.zeros((0, 1)))
    with pytest.raises(ValueError, match=r"shape \(shadows, 1\)"):
        offline_lira([-0.5], np.zeros((2, 3)))


def test_shadows_that_agree_to_the_digit_divide_by_nothing() -> None:
    assert offline_lira([-1.0], [[0.5], [0.5]])[0] == pytest.approx(logit_scale([-1.0])[0] - 0.5)
