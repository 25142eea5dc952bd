"""A run's budget for the cloud: requests, tokens and money, held back before anything is sent."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.errors import BudgetExceeded
from ecc_fed.core.ranges import require

# Sums of prices and parts of limits carry rounding errors; a billionth never decides.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Spending:
    """What was used: every attempt is a request."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.requests + other.requests, self.tokens + other.tokens, self.cost_usd + other.cost_usd)


NOTHING = Spending()


def total(parts: Sequence[Spending]) -> Spending:
    """The sum, which does not depend on the order of the parts."""
    return Spending(
        sum(part.requests for part in parts),
        sum(part.tokens for part in parts),
        math.fsum(part.cost_usd for part in parts),
    )


class Budget:
    """Upper limits for one gateway; None is no limit. Safe under threads.

    A call first reserves what it may use at most and settles afterwards at what it used, so calls
    under way together never pass a limit together.

    Args:
        max_requests: of the whole run, as the other limits.
        max_tokens: in and out.
        max_cost_usd: by the teacher's prices.
        share: this gateway's part of the limits, above 0 to 1: all parts together keep them, and none
            depends on how fast another is.
    """

    def __init__(
        self,
        max_requests: int | None = None,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
        share: float = 1.0,
    ) -> None:
        for name, value in (
            ("max_requests", max_requests),
            ("max_tokens", max_tokens),
            ("max_cost_usd", max_cost_usd),
        ):
            require(value is None or value >= 0, f"gateway.{name}", value, "0 or more, or null for no limit")
        self.max_requests, self.max_tokens, self.max_cost_usd = max_requests, max_tokens, max_cost_usd
        self._share = share
        self._spent = Spending()
        self._kept_requests = 0
        self._of_base = NOTHING
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spending:
        """What was used so far, reservations included."""
        with self._lock:
            return self._spent

    def restore(self, spent: Spending, of_base: Spending = NOTHING) -> None:
        """Goes on from what an earlier part of the same run used; `of_base` is the base's evaluation's part of it."""
        with self._lock:
            self._spent, self._of_base = spent, of_base

    def keep_for_final(self, requests: int) -> None:
        """Keeps so many requests for the final evaluation, and tokens and money as the base's evaluation uses them.

        Both ask the same prompts: while the base's is under way, the two so share what is left.
        """
        self._kept_requests = requests

    def _kept(self, of_base: Spending, phase: str) -> Spending:
        if phase == "final" or not self._kept_requests:
            return NOTHING
        return Spending(self._kept_requests, of_base.tokens, of_base.cost_usd)

    def reserve(self, most: Spending, phase: str = "") -> None:
        """Holds back what a call may use at most.

        Args:
            most: of the call.
            phase: what it is for; "base" and "final" are the evaluations. Only the final one gets what is kept for it.

        Raises:
            BudgetExceeded: a limit would be passed; nothing is held back.
        """
        with self._lock:
            of_base = self._of_base + most if phase == "base" else self._of_base
            after = self._spent + most
            in_all = after + self._kept(of_base, phase)
            for name, limit, wanted in (
                ("max_requests", self.max_requests, in_all.requests),
                ("max_tokens", self.max_tokens, in_all.tokens),
                ("max_cost_usd", self.max_cost_usd, in_all.cost_usd),
            ):
                if limit is not None and wanted > limit * self._share + _SLACK:
                    part = "" if self._share == 1 else f", of which this host's shops have {limit * self._share:.6g},"
                    raise BudgetExceeded(
                        f"The teacher's budget is used up: {name} is {limit}{part} and the next call may reach "
                        f"{wanted:.6g}; raise {name}, or ask the teacher less often"
                    )
            self._spent, self._of_base = after, of_base

    def settle(self, reserved: Spending, used: Spending, phase: str = "") -> None:
        """Replaces a reservation by what the call used."""
        with self._lock:
            self._spent = _settled(self._spent, reserved, used)
            if phase == "base":
                self._of_base = _settled(self._of_base, reserved, used)


def _settled(spent: Spending, reserved: Spending, used: Spending) -> Spending:
    return Spending(
        spent.requests - reserved.requests + used.requests,
        spent.tokens - reserved.tokens + used.tokens,
        spent.cost_usd - reserved.cost_usd + used.cost_usd,
    )
