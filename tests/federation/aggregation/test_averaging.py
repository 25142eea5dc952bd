import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.federation.aggregation.averaging import mean_scale, normalised, update_norm, weighted_mean
from tests.federation.aggregation.adapters import pair


def test_weighted_mean_by_hand():
    states = [{"x": np.array([1.0, 2.0], np.float32)}, {"x": np.array([5.0, -2.0], np.float32)}]
    mean = weighted_mean(states, [1, 3])
    assert mean["x"].dtype == np.float32
    assert mean["x"].tolist() == [4.0, -1.0]  # (1*1 + 3*5) / 4, (1*2 - 3*2) / 4


def test_the_mean_of_one_state_is_that_state_bit_for_bit():
    state = pair(np.random.default_rng(0), 7, 5, 2)
    mean = weighted_mean([state], [17])
    assert all(np.array_equal(mean[name], state[name]) for name in state)


def test_a_shop_without_examples_has_no_weight():
    rng = np.random.default_rng(1)
    first, second = pair(rng, 4, 5, 2), pair(rng, 4, 5, 2)
    mean = weighted_mean([first, second], [3, 0])
    assert all(np.array_equal(mean[name], first[name]) for name in first)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -0.5], [math.inf, 1.0], [math.nan, 1.0]])
def test_weights_that_cannot_weigh_are_refused(weights):
    with pytest.raises(ValueError, match="must be finite, at least 0, and not all 0"):
        normalised(weights)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shops=st.integers(2, 5))
def test_weights_permute_with_their_states(seed, shops):
    rng = np.random.default_rng(seed)
    states = [pair(rng, 6, 5, 2) for _ in range(shops)]
    weights = rng.integers(1, 50, shops).tolist()
    order = rng.permutation(shops).tolist()
    mean = weighted_mean(states, weights)
    other = weighted_mean([states[i] for i in order], [weights[i] for i in order])
    for name in mean:
        np.testing.assert_allclose(mean[name], other[name], rtol=1e-6, atol=1e-7)


def test_the_mean_of_scales_is_the_common_scale_exactly_and_else_the_weighted_mean():
    assert mean_scale([32 / 7] * 3, [1, 2, 4]) == 32 / 7
    assert mean_scale([4.0, 8.0], [1, 3]) == 7.0


def test_update_norm_by_hand():
    before = {"x": np.zeros((2, 2), np.float32), "y": np.ones(1, np.float32)}
    after = {"x": np.array([[1, 2], [2, 0]], np.float32), "y": np.array([5], np.float32)}
    assert update_norm(after, before) == 5.0  # sqrt(1 + 4 + 4 + 16)
    assert update_norm(before, before) == 0.0
