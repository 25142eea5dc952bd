"""What the group `gateway` makes, and refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.teacher.gateway.settings import UNLIMITED, GatewaySettings


def test_limits_and_attempts_are_as_set() -> None:
    settings = GatewaySettings(None, 7, 900, 0.5, max_attempts=2, first_delay_seconds=3.0)
    budget, retry = settings.budget(0.5), settings.retry(seed=9)
    assert (budget.max_requests, budget.max_tokens, budget.max_cost_usd) == (7, 900, 0.5)
    assert (retry.max_attempts, retry.first_delay_seconds, retry.seed) == (2, 3.0, 9)


def test_replies_are_kept_where_a_path_is_given(tmp_path: Path) -> None:
    assert UNLIMITED.cache() is None and replace(UNLIMITED, cache_path="").cache() is None
    assert replace(UNLIMITED, cache_path=str(tmp_path / "replies.sqlite")).cache() is not None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_requests": -1}, r"gateway\.max_requests=-1 is out of range: 0 or more, or null for no limit"),
        ({"max_tokens": -1}, r"gateway\.max_tokens=-1 is out of range"),
        ({"max_cost_usd": -0.1}, r"gateway\.max_cost_usd=-0\.1 is out of range"),
        ({"timeout_seconds": 0.0}, r"gateway\.timeout_seconds=0\.0 is out of range: a number from 0\.001"),
        ({"max_attempts": 0}, r"gateway\.max_attempts=0 is out of range: a number from 1 to 100"),
        ({"first_delay_seconds": -1.0}, r"gateway\.first_delay_seconds=-1\.0 is out of range"),
        ({"max_parallel": 257}, r"gateway\.max_parallel=257 is out of range: a number from 1 to 256"),
        ({"language": "fr"}, r"gateway\.language=fr is out of range: one of zh, en"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GatewaySettings(**changed)
