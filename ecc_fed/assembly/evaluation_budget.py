"""What the two evaluations need of a run's budget for the cloud: told before it starts, and kept for the second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecc_fed.assembly.federation import build_arm
from ecc_fed.assembly.language import why_withheld
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Shop


def requests_of(shops: Sequence[Shop], extra_queries: Sequence[str]) -> int:
    """The fewest requests of one evaluation: equal prompts of a shop are one."""
    return sum(
        len({tuple((turn.role, turn.text) for turn in pair.prompt) for pair in shop.test}) + len(set(extra_queries))
        for shop in shops
        if shop.test
    )


def kept_for_final(config: RunConfig, shops: Sequence[Shop]) -> int:
    """How many requests base and rounds must leave.

    None where the cache answers what the base's evaluation asked, or where nothing is scored and so nothing asked.
    """
    if why_withheld(config) is not None:
        return 0
    if config.gateway.cache_path and build_arm(config).evaluates_base:
        return 0
    return requests_of(shops, config.evolution.extra_queries)


def check_evaluation_budget(config: RunConfig, shops: Sequence[Shop]) -> None:
    """Refuses a number of requests that the evaluations alone would pass.

    A cache that is there already may hold any of their replies: then nothing is refused.

    Raises:
        ConfigError: names the number that is needed.
    """
    gateway = config.gateway
    if (
        gateway.max_requests is None
        or why_withheld(config) is not None
        or (gateway.cache_path and Path(gateway.cache_path).exists())
    ):
        return
    one = requests_of(shops, config.evolution.extra_queries)
    base = one if build_arm(config).evaluates_base else 0
    least = base + kept_for_final(config, shops)
    if gateway.max_requests < least:
        raise ConfigError(
            f"gateway.max_requests={gateway.max_requests} is too small: the evaluations before and after the rounds "
            f"need {least} requests, and the rounds some more. Raise it, set gateway.cache_path=FILE, which answers "
            "the second evaluation from the first, or evaluate fewer pairs"
        )
