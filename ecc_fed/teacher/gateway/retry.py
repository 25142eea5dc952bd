"""When to try again: exponential back-off with jitter, and the server's own wish first."""

from __future__ import annotations

from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import Outcome
from ecc_fed.core.seeding import derive_rng

RETRIABLE: frozenset[Outcome] = frozenset({"rate_limited", "unavailable", "timeout"})


class RetryPolicy:
    """Waits before attempt n + 1: max(first_delay 2^(n-1) up to max_delay, the server's wish) (1 + jitter u).

    u is drawn uniformly from [0, 1) by (seed, call, n), so that waits repeat but calls turned away
    together do not come back together.

    Args:
        max_attempts: attempts a call gets, the first included, from 1.
        first_delay_seconds: wait after the first attempt.
        max_delay_seconds: longest back-off; a server that wishes for more is not waited for.
        jitter: largest addition, as a share of the wait, 0 to 1.
        seed: of the jitter.
    """

    def __init__(
        self,
        max_attempts: int = 4,
        first_delay_seconds: float = 1.0,
        max_delay_seconds: float = 60.0,
        jitter: float = 0.25,
        seed: int = 0,
    ) -> None:
        require_number("gateway.max_attempts", max_attempts, 1, 100)
        require_number("gateway.first_delay_seconds", first_delay_seconds, 0)
        require_number("gateway.max_delay_seconds", max_delay_seconds, 0)
        require_number("gateway.jitter", jitter, 0, 1)
        self.max_attempts = max_attempts
        self.first_delay_seconds = first_delay_seconds
        self.max_delay_seconds = max_delay_seconds
        self.jitter = jitter
        self.seed = seed

    def delay_seconds(
        self, outcome: Outcome, attempt: int, call: str, retry_after_seconds: float | None
    ) -> float | None:
        """Seconds to wait after attempt `attempt` (from 1) of `call`; None if it must not be tried again."""
        if outcome not in RETRIABLE or attempt >= self.max_attempts:
            return None
        wish = 0.0 if retry_after_seconds is None else retry_after_seconds
        if not wish <= self.max_delay_seconds:
            return None
        # 2^60 seconds is past every maximum; larger powers would overflow.
        back_off = min(self.first_delay_seconds * 2.0 ** min(attempt - 1, 60), self.max_delay_seconds)
        share = derive_rng(self.seed, "retry", call, attempt).random()
        return max(back_off, wish) * (1 + self.jitter * share)
