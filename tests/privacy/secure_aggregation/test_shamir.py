"""Shares against the polynomial written out, any threshold of them against the secret, and fewer against nothing."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.privacy.secure_aggregation.shamir import PRIME, SHARE_BYTES, combine, drawn_bytes, split

SECRET = bytes(range(200, 232))


def drawn(threshold: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(drawn_bytes(threshold))


def test_the_modulus_is_the_least_prime_above_every_secret() -> None:
    def probably_prime(number: int) -> bool:
        """Miller and Rabin's test, to twenty bases."""
        odd, twos = number - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71):
            power = pow(base, odd, number)
            if power in (1, number - 1):
                continue
            for _ in range(twos - 1):
                power = power * power % number
                if power == number - 1:
                    break
            else:
                return False
        return True

    assert probably_prime(PRIME)
    assert not any(probably_prime(number) for number in range(2**256 + 1, PRIME))
    assert (PRIME - 1).bit_length() <= 8 * SHARE_BYTES


@given(st.binary(min_size=32, max_size=32), st.integers(1, 6), st.integers(0, 4), st.integers(0, 2**32), st.randoms())
def test_any_threshold_of_shares_gives_the_secret_back(secret, threshold, spare, seed, random) -> None:
    points = random.sample(range(1, 1000), threshold + spare)
    shares = split(secret, threshold, points, drawn(threshold, seed))
    some = random.sample(points, threshold)
    assert combine({point: shares[point] for point in some}) == secret
    assert combine(shares) == secret


def test_a_share_is_the_polynomial_at_its_point() -> None:
    data = drawn(4)
    parts = [int.from_bytes(data[48 * index : 48 * index + 48], "little") for index in range(3)]
    at = 17
    # The highest coefficient is drawn first.
    expected = int.from_bytes(SECRET, "little") + parts[0] * at**3 + parts[1] * at**2 + parts[2] * at
    assert split(SECRET, 4, [at], data) == {at: expected % PRIME}


def test_fewer_shares_fit_every_secret_alike() -> None:
    """Two shares of three, and any secret at all: one polynomial goes through them, so they rule none out."""
    shares = split(SECRET, 3, [1, 2, 3, 4], drawn(3))
    for other in (bytes(32), b"\xff" * 32, SECRET):
        # The third share that this secret would have needs no more than the two that are known.
        value = int.from_bytes(other, "little")
        third = (value - 3 * shares[1] + 3 * shares[2]) % PRIME  # differences of a quadratic: f(3) = f(0)-3f(1)+3f(2)
        assert combine({1: shares[1], 2: shares[2], 3: third}) == other


def test_a_share_alone_looks_the_same_whatever_the_secret() -> None:
    """Of two secrets as far apart as can be, the first share's highest byte is uniform: chi square, 255 degrees."""
    for secret in (bytes(32), b"\xff" * 32):
        tops = [split(secret, 2, [1], drawn(2, seed))[1] >> 248 & 0xFF for seed in range(5120)]
        counts = np.bincount(tops, minlength=256)
        assert ((counts - 20) ** 2 / 20).sum() < 340  # its 99.97th percentile


def test_too_few_shares_give_something_else() -> None:
    shares = split(SECRET, 3, [1, 2, 3, 4], drawn(3))
    for pair in combinations(shares, 2):
        try:
            found = combine({point: shares[point] for point in pair})
        except ValueError:
            continue
        assert found != SECRET


def test_shares_of_no_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="no one secret"):
        combine({1: 2**256 + 5, 2: 2 * (2**256 + 5) - (2**256 + 5)})
