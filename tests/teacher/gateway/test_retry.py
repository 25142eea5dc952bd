import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import ConfigError
from ecc_fed.teacher.gateway.retry import RetryPolicy


def test_waits_double_up_to_the_maximum():
    policy = RetryPolicy(max_attempts=9, first_delay_seconds=1, max_delay_seconds=6, jitter=0)
    assert [policy.delay_seconds("unavailable", n, "call", None) for n in range(1, 6)] == [1, 2, 4, 6, 6]


def test_the_servers_wish_comes_first():
    policy = RetryPolicy(first_delay_seconds=1, max_delay_seconds=60, jitter=0)
    assert policy.delay_seconds("rate_limited", 1, "call", 7.5) == 7.5
    assert policy.delay_seconds("rate_limited", 3, "call", 0.5) == 4


@pytest.mark.parametrize("wish", [61.0, math.inf, math.nan])
def test_a_server_that_wants_too_much_is_not_waited_for(wish):
    assert RetryPolicy(max_delay_seconds=60).delay_seconds("rate_limited", 1, "call", wish) is None


@pytest.mark.parametrize("outcome", ["ok", "blocked", "malformed", "budget", "error"])
def test_what_would_fail_again_is_not_tried_again(outcome):
    assert RetryPolicy().delay_seconds(outcome, 1, "call", None) is None


def test_attempts_end():
    policy = RetryPolicy(max_attempts=2)
    assert policy.delay_seconds("timeout", 1, "call", None) is not None
    assert policy.delay_seconds("timeout", 2, "call", None) is None


@given(st.integers(1, 99), st.text(), st.none() | st.floats(0, 60), st.integers(0, 2**63 - 1))
def test_jitter_only_adds_and_repeats(attempt, call, wish, seed):
    plain = RetryPolicy(max_attempts=100, jitter=0).delay_seconds("timeout", attempt, call, wish)
    policy = RetryPolicy(max_attempts=100, jitter=0.25, seed=seed)
    delay = policy.delay_seconds("timeout", attempt, call, wish)
    assert plain <= delay <= plain * 1.25
    assert delay == policy.delay_seconds("timeout", attempt, call, wish)


def test_calls_turned_away_together_come_back_apart():
    policy = RetryPolicy(jitter=0.25)
    assert len({policy.delay_seconds("rate_limited", 1, f"call {i}", 2.0) for i in range(50)}) == 50


@pytest.mark.parametrize(
    ("name", "value"), [("max_attempts", 0), ("first_delay_seconds", -1), ("max_delay_seconds", -1), ("jitter", 1.5)]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"gateway\.{name}={value} is out of range: a number from"):
        RetryPolicy(**{name: value})
