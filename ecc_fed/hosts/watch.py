"""Finds out a host that hangs: one whose count of steps stands still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_MOST_SECONDS = 30.0


class Watch:
    """Over one piece of a host's work.

    Asks a few times per limit, never waits for an answer, and takes none for no progress: a process that is
    stopped answers nothing.

    Args:
        limit_seconds: without progress; None asks for nothing and waits for ever.
        ask: asks the host for its count; gives a reference to the answer.
    """

    def __init__(self, limit_seconds: float | None, ask: Callable[[], Any]) -> None:
        self.limit_seconds = limit_seconds
        self._ask = ask
        self._asked: Any = None
        self._count: int | None = None
        self._moved_at = self._asked_at = time.monotonic()

    def stalled(self) -> bool:
        """Whether the limit has passed without progress. To be called a few times per limit, at least."""
        if self.limit_seconds is None:
            return False
        now = time.monotonic()
        if self._asked is not None:
            count = _answer(self._asked)
            if count is not None:
                self._asked = None
                if count != self._count:
                    self._count, self._moved_at = count, now
        elif now - self._asked_at >= min(self.limit_seconds / 4, _MOST_SECONDS):
            self._asked, self._asked_at = self._ask(), now
        return now - self._moved_at > self.limit_seconds


def _answer(asked: Any) -> int | None:
    import ray

    try:
        return int(ray.get(asked, timeout=0))
    except ray.exceptions.RayError:  # not there yet, or never to come
        return None
