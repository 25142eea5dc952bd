"""Numbers there and back: the weighted mean to half a step, whatever was added modulo the modulus in between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.privacy.secure_aggregation.quantisation import (
    BeyondRange,
    Quantisation,
    UnreadableSum,
    needed_bits,
)

PLAIN = Quantisation(16.0, 28, 6, 100)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=3)), min_size=1),
    st.sampled_from([(4.0, 8), (4.0, 16), (16.0, 28), (5.0, 32)]),
)
def test_the_mean_is_the_weighted_mean_to_half_a_step(shops, size) -> None:
    clipping_range, bits = size
    quantisation = Quantisation(clipping_range, bits, 8, 100)
    numbers = [quantisation.encode(weight, 1, np.array(values, np.float32)) for weight, values in shops]
    found = quantisation.decode(np.sum(numbers, axis=0, dtype=np.uint64), len(shops))
    total = sum(weight for weight, _ in shops)
    assert (found.weight, found.num_examples) == (total, len(shops))
    if total == 0:
        assert found.mean is None
        return
    exact = sum(weight * np.array(values, np.float32).astype(np.float64) for weight, values in shops) / total
    half_step = clipping_range / (2**bits - 1)
    assert np.abs(found.mean - exact).max() <= half_step * (1 + 1e-6)


def test_the_ends_of_the_range_are_reached_and_not_passed() -> None:
    numbers = PLAIN.encode(1, 7, np.array([-16.0, 16.0, 0.0], np.float32))
    assert numbers[:4].tolist() == [1, 7, 0, 2**28 - 1]
    assert PLAIN.decode(numbers, 1).mean[:2].tolist() == [-16.0, 16.0]


@pytest.mark.parametrize("value", [16.5, -17.0, np.nan, np.inf])
def test_a_value_beyond_the_range_is_refused_and_not_told(value: float) -> None:
    with pytest.raises(BeyondRange, match=r"clipping_range=16.* Take a larger range") as error:
        PLAIN.encode(1, 1, np.array([0.25, value], np.float32))
    assert str(value) not in str(error.value)


@pytest.mark.parametrize(("weight", "examples"), [(101, 1), (1, 101), (-1, 1)])
def test_more_examples_than_a_shop_can_have_are_refused(weight: int, examples: int) -> None:
    with pytest.raises(BeyondRange, match="more than 100 examples"):
        PLAIN.encode(weight, examples, np.zeros(1, np.float32))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(1, 8))
def test_numbers_travel_modulo_the_modulus(numbers, modulus_bytes) -> None:
    quantisation = Quantisation(16.0, 28, modulus_bytes, 100)
    words = np.array(numbers, np.uint64)
    packed = quantisation.pack(words)
    assert (packed.dtype, packed.shape) == (np.uint8, (len(numbers) * modulus_bytes,))
    expected = [number % 2 ** (8 * modulus_bytes) for number in numbers]
    assert quantisation.unpack(packed).tolist() == expected == quantisation.reduced(words).tolist()


def test_a_sum_that_no_shops_can_have_is_not_read() -> None:
    good = PLAIN.encode(10, 10, np.zeros(2, np.float32))
    for place, value in ((0, 301), (1, 301), (2, 10 * (2**28 - 1) + 1)):
        bad = good.copy()
        bad[place] = value
        with pytest.raises(UnreadableSum, match="no updates of the round's shops"):
            PLAIN.decode(bad, 3)
    assert PLAIN.decode(good, 1).weight == 10


def test_needed_bits_hold_the_largest_sum_and_no_fewer_do() -> None:
    largest = 8 * 640 * (2**28 - 1)
    assert 2 ** needed_bits(28, 8, 640) > largest >= 2 ** (needed_bits(28, 8, 640) - 1)
