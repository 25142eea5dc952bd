"""How the way to the cloud is used: the group `gateway` of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ecc_fed.core.completion import Language
from ecc_fed.core.ranges import require_number, require_one_of
from ecc_fed.teacher.gateway.budget import Budget
from ecc_fed.teacher.gateway.cache import ReplyCache
from ecc_fed.teacher.gateway.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The one way to the cloud. Its limits are of a whole run; every host has a part of them.

    Raises:
        ConfigError: a value out of range.
    """

    # A SQLite file of replies known already; ":memory:" keeps them while the process lives, null keeps none.
    cache_path: str | None = None
    # null is no limit, as for the next two. Every attempt is a request.
    max_requests: int | None = None
    # In and out.
    max_tokens: int | None = None
    # By the teacher's prices.
    max_cost_usd: float | None = None
    # Of one attempt.
    timeout_seconds: float = 60.0
    # The first included.
    max_attempts: int = 4
    # Before the second attempt; it doubles with every further one.
    first_delay_seconds: float = 1.0
    # Calls under way at once.
    max_parallel: int = 8
    # zh | en: of the words around the dialogue, the paper's Table II. null: as the corpus.
    language: Language | None = None

    def __post_init__(self) -> None:
        self.budget()
        self.retry()
        require_number("gateway.timeout_seconds", self.timeout_seconds, 1e-3)
        require_number("gateway.max_parallel", self.max_parallel, 1, 256)
        if self.language is not None:
            require_one_of("gateway.language", self.language, get_args(Language))

    def cache(self) -> ReplyCache | None:
        """The replies known already, opened."""
        return ReplyCache(self.cache_path) if self.cache_path else None

    def budget(self, share: float = 1.0) -> Budget:
        """The limits of one gateway, of which it may use `share`."""
        return Budget(self.max_requests, self.max_tokens, self.max_cost_usd, share)

    def retry(self, seed: int = 0) -> RetryPolicy:
        """When failed attempts are tried again; `seed` draws the jitter."""
        return RetryPolicy(self.max_attempts, self.first_delay_seconds, seed=seed)


# No cache and no limit.
UNLIMITED = GatewaySettings()
