"""What settings are taken, and what is derived from them."""

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"threshold": 0.5}, "secure_aggregation.threshold=0.5 is out of range: above 0.5"),
        ({"threshold": 1.1}, "threshold=1.1"),
        ({"min_shops": 1}, "min_shops=1 is out of range: 2 or more"),
        ({"neighbours": 1}, r"neighbours=1 is out of range: 2 or more \(min_shops - 1\)"),
        ({"clipping_range": 0.0}, "clipping_range=0.0"),
        ({"bits": 7}, "bits=7 is out of range: 8 to 32"),
        ({"bits": 33}, "bits=33"),
        ({"modulus_bits": 44}, "modulus_bits=44 is out of range: a multiple of 8"),
        ({"modulus_bits": 24}, "modulus_bits=24"),
        ({"modulus_bits": 72}, "modulus_bits=72"),
    ],
)
def test_what_is_out_of_range_is_refused(changes, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SecureAggregationSettings(**changes)


@pytest.mark.parametrize(("shares", "needed"), [(2, 2), (3, 2), (5, 4), (6, 4), (8, 6), (65, 43)])
def test_the_threshold_is_more_than_half_of_the_shares(shares: int, needed: int) -> None:
    assert SecureAggregationSettings().threshold_of(shares) == needed
    assert all(SecureAggregationSettings(threshold=0.51).threshold_of(many) * 2 > many for many in range(2, 300))


def test_neighbours_are_all_or_an_even_number() -> None:
    assert [SecureAggregationSettings().neighbours_of(count) for count in (3, 8, 65, 1000)] == [2, 7, 64, 64]
    assert [SecureAggregationSettings(neighbours=5).neighbours_of(count) for count in (4, 7, 8, 100)] == [3, 6, 6, 6]


def test_the_modulus_is_the_fewest_bytes_that_hold_the_sum() -> None:
    settings = SecureAggregationSettings()
    assert settings.quantisation(8, 640).modulus_bytes == 6  # 28 + 3 + 9.3 bits
    assert settings.quantisation(2, 3).modulus_bytes == 4  # 28 + 1 + 1.6 bits
    assert SecureAggregationSettings(modulus_bits=64).quantisation(8, 640).modulus_bytes == 8
    with pytest.raises(ConfigError, match=r"takes 41 bits, and 40 are there\. Take fewer bits or a larger"):
        SecureAggregationSettings(modulus_bits=40).quantisation(8, 640)
    with pytest.raises(ConfigError, match=r"takes 82 bits, and 64 are there\. Take fewer bits\.$"):
        settings.quantisation(2, 2**53)
