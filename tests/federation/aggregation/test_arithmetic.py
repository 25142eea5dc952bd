import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.federation.aggregation.arithmetic import normalised, product_error, update_norm, weighted_mean

A, B = "m.q_proj.lora_A.weight", "m.q_proj.lora_B.weight"


def pair(rng: np.random.Generator, d_out: int, d_in: int, rank: int) -> dict[str, np.ndarray]:
    return {
        A: rng.standard_normal((rank, d_in)).astype(np.float32),
        B: rng.standard_normal((d_out, rank)).astype(np.float32),
    }


def brute_force(aggregate, states, weights) -> float:
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    mean = sum(w * (s[B].astype(np.float64) @ s[A].astype(np.float64)) for w, s in zip(shares, states, strict=True))
    return float(np.linalg.norm(aggregate[B].astype(np.float64) @ aggregate[A] - mean) / np.linalg.norm(mean))


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


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shops=st.integers(1, 6),
    d_out=st.integers(1, 24),
    d_in=st.integers(1, 24),
    rank=st.integers(1, 4),
)
def test_product_error_equals_brute_force_on_both_sides_of_the_qr(seed, shops, d_out, d_in, rank):
    rng = np.random.default_rng(seed)
    states = [pair(rng, d_out, d_in, rank) for _ in range(shops)]
    weights = rng.integers(1, 50, shops).tolist()
    aggregate = weighted_mean(states, weights)
    error = product_error(aggregate, states, weights)
    expected = brute_force(aggregate, states, weights)
    assert error.total == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert error.modules == {"m.q_proj": pytest.approx(expected, rel=1e-6, abs=1e-6)}


def test_product_error_is_zero_where_averaging_apart_is_exact():
    rng = np.random.default_rng(3)
    one = pair(rng, 40, 30, 2)
    assert product_error(one, [one], [5]).total == 0.0
    assert product_error(weighted_mean([one] * 3, [1, 2, 3]), [one] * 3, [1, 2, 3]).total < 1e-6
    # One A for all: the mean of B A is (mean B) A, as in FFA-LoRA.
    states = [{A: one[A], B: pair(rng, 40, 30, 2)[B]} for _ in range(4)]
    assert product_error(weighted_mean(states, [1] * 4), states, [1] * 4).total < 1e-6


def test_product_error_does_not_see_the_scale_but_the_whole_model_is_not_the_mean_of_its_modules():
    rng = np.random.default_rng(4)
    other = {name.replace("q_proj", "v_proj"): 10 * t for name, t in pair(rng, 6, 5, 2).items()}
    states = [pair(rng, 6, 5, 2) | other, pair(rng, 6, 5, 2) | {n: t + 1 for n, t in other.items()}]
    aggregate = weighted_mean(states, [1, 1])
    error = product_error(aggregate, states, [1, 1])
    diffs, means = [], []
    for module in ("q_proj", "v_proj"):
        a, b = f"m.{module}.lora_A.weight", f"m.{module}.lora_B.weight"
        mean = sum(s[b].astype(np.float64) @ s[a] for s in states) / 2
        diffs.append(np.linalg.norm(aggregate[b].astype(np.float64) @ aggregate[a] - mean))
        means.append(np.linalg.norm(mean))
    assert error.total == pytest.approx(math.hypot(*diffs) / math.hypot(*means), rel=1e-5)
    scaled = [{n: 2 * t if "lora_B" in n else t for n, t in s.items()} for s in (aggregate, *states)]
    assert product_error(scaled[0], scaled[1:], [1, 1]).total == pytest.approx(error.total, rel=1e-6)


def test_product_error_of_untrained_and_of_opposite_adapters():
    one = pair(np.random.default_rng(5), 6, 5, 2)
    zero = one | {B: np.zeros_like(one[B])}
    assert product_error(zero, [zero, zero], [1, 1]).total == 0.0
    opposite = one | {B: -one[B]}
    assert product_error(one, [one, opposite], [1, 1]).total is None  # nothing to be relative to


def test_tensors_outside_lora_take_no_part_in_the_product_error():
    one = pair(np.random.default_rng(6), 6, 5, 2) | {"m.norm.weight": np.ones(3, np.float32)}
    assert set(product_error(one, [one], [1]).modules) == {"m.q_proj"}


def test_update_norm_by_hand():
    before = {"x": np.zeros((2, 2), np.float32), "y": np.ones(1, np.float32)}
    after = {"x": np.array([[1, 2], [2, 0]], np.float32), "y": np.array([5], np.float32)}
    assert update_norm(after, before) == 5.0  # sqrt(1 + 4 + 4 + 16)
    assert update_norm(before, before) == 0.0
