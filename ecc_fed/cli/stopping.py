"""Commands that are ended from outside, in good order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Where there is no SIGHUP, `check_platform` refuses in words.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_TOGETHER_SECONDS = 5.0


class Stop:
    """Which signal has asked for the end; None if none did."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._came_at = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes the signal. One that comes right after another, as at a terminal's end, disturbs no end that has begun.

        KeyboardInterrupt, as Ray's calls let nothing else through.
        """
        now = time.monotonic()
        alone = self.number is None or now - self._came_at > _TOGETHER_SECONDS
        self._came_at = now
        if alone:
            self.number = number
            raise KeyboardInterrupt

    @property
    def exit_code(self) -> int:
        """As a shell gives it: 128 and the signal's number; of Ctrl-C where no other came."""
        return 128 + (signal.SIGINT if self.number is None else self.number)


@contextmanager
def stopping() -> Iterator[Stop]:
    """SIGTERM and SIGHUP, of a closed terminal, end what the block does as Ctrl-C would, every `finally` included.

    One that is ignored, as under nohup, stays so.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # Python lets no other take signals
        yield stop
        return
    usual = {number: signal.getsignal(number) for number in _ENDING}
    taken = {number: handler for number, handler in usual.items() if handler not in (None, signal.SIG_IGN)}
    for number in taken:
        signal.signal(number, stop)
    try:
        yield stop
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
