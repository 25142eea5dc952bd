"""Ends that are not cut short: signals that wait until what they would interrupt is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What ends a process from outside and can be caught.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_later() -> Iterator[None]:
    """Signals that would end this process wait for the end of the block; then the first of them acts."""
    if threading.current_thread() is not threading.main_thread():  # they reach the main thread alone
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    usual = {number: signal.getsignal(number) for number in ENDING}
    held = {number: handler for number, handler in usual.items() if handler not in (None, signal.SIG_IGN)}
    for number in held:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
