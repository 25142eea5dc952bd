"""Ends work in this process that hangs: the count of its steps stands still."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ecc_fed.core.heartbeat import beats
from ecc_fed.federation.results import FederationError

_MOST_SECONDS = 30.0


class HostStalled(FederationError):
    """The host in this process made no progress for longer than it may."""


class _StandsStill(BaseException):
    """Passes whatever would take an `Exception` for one shop's."""


@contextmanager
def no_standstill(limit_seconds: float | None) -> Iterator[None]:
    """Ends the block where no step is done for so long; None waits for ever.

    An alarm looks, as it also wakes a thread that waits for others. It reaches the main thread alone, so a block in any
    other is not ended; nor is a call of a library that never comes back to Python.

    Raises:
        HostStalled: the limit has passed without progress.
    """
    if limit_seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    count, moved_at = beats(), time.monotonic()

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal count, moved_at
        if beats() != count:
            count, moved_at = beats(), time.monotonic()
        elif time.monotonic() - moved_at > limit_seconds:
            raise _StandsStill

    every = min(limit_seconds / 4, _MOST_SECONDS)
    usual = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, every, every)
    try:
        yield
    except _StandsStill:
        raise HostStalled(
            f"The host made no progress for {limit_seconds:g} seconds (runtime.stall_seconds): it hangs, or a step "
            "takes longer than that."
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
