import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.federation.aggregation.averaging import mean_scale, weighted_mean
from ecc_fed.federation.aggregation.product_error import ProductError, product_error
from tests.federation.aggregation.adapters import A, B, pair


def error_of(aggregate, states, weights) -> ProductError:
    """All of one scale."""
    return product_error(aggregate, 4.0, states, [4.0] * len(states), weights)


def brute_force(aggregate, scale, states, scales, weights) -> float:
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    dense = [s[B].astype(np.float64) @ s[A].astype(np.float64) for s in states]
    mean = sum(p * s * product for p, s, product in zip(shares, scales, dense, strict=True))
    return float(np.linalg.norm(scale * aggregate[B].astype(np.float64) @ aggregate[A] - mean) / np.linalg.norm(mean))


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
    scales = rng.uniform(0.5, 8, shops).tolist()
    aggregate, scale = weighted_mean(states, weights), mean_scale(scales, weights)
    error = product_error(aggregate, scale, states, scales, weights)
    expected = brute_force(aggregate, scale, states, scales, weights)
    assert error.total == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert error.modules == {"m.q_proj": pytest.approx(expected, rel=1e-6, abs=1e-6)}


def test_product_error_is_zero_where_averaging_apart_is_exact():
    rng = np.random.default_rng(3)
    one = pair(rng, 40, 30, 2)
    assert error_of(one, [one], [5]).total == 0.0
    assert error_of(weighted_mean([one] * 3, [1, 2, 3]), [one] * 3, [1, 2, 3]).total < 1e-6
    # One A for all: the mean of B A is (mean B) A, as in FFA-LoRA.
    states = [{A: one[A], B: pair(rng, 40, 30, 2)[B]} for _ in range(4)]
    assert error_of(weighted_mean(states, [1] * 4), states, [1] * 4).total < 1e-6


def test_product_error_does_not_see_the_scale_but_the_whole_model_is_not_the_mean_of_its_modules():
    rng = np.random.default_rng(4)
    other = {name.replace("q_proj", "v_proj"): 10 * t for name, t in pair(rng, 6, 5, 2).items()}
    states = [pair(rng, 6, 5, 2) | other, pair(rng, 6, 5, 2) | {n: t + 1 for n, t in other.items()}]
    aggregate = weighted_mean(states, [1, 1])
    error = error_of(aggregate, states, [1, 1])
    diffs, means = [], []
    for module in ("q_proj", "v_proj"):
        a, b = f"m.{module}.lora_A.weight", f"m.{module}.lora_B.weight"
        mean = sum(s[b].astype(np.float64) @ s[a] for s in states) / 2
        diffs.append(np.linalg.norm(aggregate[b].astype(np.float64) @ aggregate[a] - mean))
        means.append(np.linalg.norm(mean))
    assert error.total == pytest.approx(math.hypot(*diffs) / math.hypot(*means), rel=1e-5)
    scaled = [{n: 2 * t if "lora_B" in n else t for n, t in s.items()} for s in (aggregate, *states)]
    assert error_of(scaled[0], scaled[1:], [1, 1]).total == pytest.approx(error.total, rel=1e-6)


def test_product_error_of_untrained_and_of_opposite_adapters():
    one = pair(np.random.default_rng(5), 6, 5, 2)
    zero = one | {B: np.zeros_like(one[B])}
    assert error_of(zero, [zero, zero], [1, 1]).total == 0.0
    opposite = one | {B: -one[B]}
    assert error_of(one, [one, opposite], [1, 1]).total is None  # nothing to be relative to


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("d_out", [3, 40])
def test_a_mean_that_cancels_but_for_rounding_is_nothing_to_be_relative_to(size, d_out):
    one = pair(np.random.default_rng(11), d_out, 30, 2)
    one[A] *= np.float32(size)
    # 0.6 - 0.2 - 2 * 0.2 is not quite 0 in floating point.
    states = [{A: one[A], B: one[B] * np.float32(factor)} for factor in (1, -1, -2)]
    assert error_of(one, states, [3, 1, 1]).total is None
    zero = one | {B: np.zeros_like(one[B])}
    assert error_of(zero, states, [3, 1, 1]).total == 0.0


def test_tensors_outside_lora_take_no_part_in_the_product_error():
    one = pair(np.random.default_rng(6), 6, 5, 2) | {"m.norm.weight": np.ones(3, np.float32)}
    assert set(error_of(one, [one], [1]).modules) == {"m.q_proj"}


def test_shops_of_different_ranks_have_one_mean_product():
    rng = np.random.default_rng(7)
    states = [pair(rng, 9, 8, rank) for rank in (1, 2, 3)]
    scales, weights = [32.0, 16.0, 32 / 3], [5, 1, 2]
    aggregate = pair(rng, 9, 8, 4)
    error = product_error(aggregate, 8.0, states, scales, weights)
    assert error.total == pytest.approx(brute_force(aggregate, 8.0, states, scales, weights), rel=1e-6)


def test_one_scale_for_all_changes_no_bit():
    rng = np.random.default_rng(8)
    states = [pair(rng, 6, 5, 2) for _ in range(3)]
    aggregate = weighted_mean(states, [3, 1, 2])
    assert product_error(aggregate, 32 / 7, states, [32 / 7] * 3, [3, 1, 2]) == error_of(aggregate, states, [3, 1, 2])
