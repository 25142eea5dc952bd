"""Threads that take little of a cap of host memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable

# A shop's thread computes little; what is heavy runs in the services.
STACK_BYTES = 2 * 2**20


def start_threads(threads: Iterable[threading.Thread]) -> None:
    """Starts threads with small stacks, which count against a cap of host memory whether used or not.

    Raises:
        RuntimeError: no room for one more.
    """
    usual = threading.stack_size(STACK_BYTES)
    try:
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(usual)
