"""The median rule against hand computation."""

import math

import numpy as np
import pytest

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.limits import ReplySettings
from ecc_fed.federation.norms import norm_ratios, update_norms


def update(shop_id: str, value: float, num_examples: int = 1) -> AdapterUpdate:
    return AdapterUpdate(shop_id, 2, {"x": np.full(4, value, np.float32)}, num_examples)


def test_norms_are_over_what_was_sent_and_unknown_where_nothing_like_it_was():
    sent = {"a": {"x": np.ones(4, np.float32)}, "b": {"x": np.ones(3, np.float32)}, "c": {"y": np.ones(4, np.float32)}}
    found = update_norms([update(shop, 3.0) for shop in "abcd"], sent)
    assert found == {"a": 4.0, "b": None, "c": None, "d": None}  # sqrt(4 * (3 - 1)^2)


def test_ratios_are_to_the_median_of_those_that_learned_with_and_without_something_sent_apart():
    moved = [update("a", 1.0), update("b", 2.0), update("c", 50.0), update("lazy", 0.0, num_examples=0)]
    first = [update("d", 100.0), update("e", 300.0)]
    norms: dict[str, float | None] = {"a": 2.0, "b": 4.0, "c": 100.0, "lazy": 0.0, "d": None, "e": None}
    assert norm_ratios([*moved, *first], norms) == {"a": 0.5, "b": 1.0, "c": 25.0, "d": 0.5, "e": 1.5}


def test_nobody_stands_out_where_the_median_is_zero_or_there_is_nobody():
    assert norm_ratios([update("a", 0.0), update("b", 0.0), update("c", 5.0)], {"a": 0.0, "b": 0.0, "c": 5.0}) == {}
    assert norm_ratios([], {}) == {}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_value": 0.0}, r"replies\.max_value=0\.0 is out of range: above 0, at most 1e9"),
        ({"max_value": math.inf}, r"replies\.max_value=inf"),
        ({"norm_factor": 1.0}, r"replies\.norm_factor=1\.0 is out of range: above 1, or null"),
        ({"norm_factor": math.nan}, r"replies\.norm_factor=nan"),
        ({"norm_rule": "ignore"}, r"replies\.norm_rule=ignore is out of range: one of flag, refuse"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        ReplySettings(**settings)
