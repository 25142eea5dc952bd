"""What we need of Ray and Ray keeps to itself. Tests hold these assumptions to the installed version."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Without one of them Ray does nothing more; it has others that a run can do without.
_VITAL = ("gcs_server", "raylet")


def ended_service() -> str | None:
    """Which of the processes that a Ray started here cannot do without has ended; None while all are there.

    A Ray that was started elsewhere has none here.
    """
    import ray

    node: Any = ray._private.worker._global_node
    if node is None:
        return None
    return next((kind for kind, _ in node.dead_processes() if kind in _VITAL), None)


@contextmanager
def connecting() -> Iterator[None]:
    """Ray connects inside the block, takes no signal of ours for itself and prints nothing of its own.

    Ray would answer SIGTERM by an exit of its own, with a trace of its C++ stack; and what it tells of a host that died
    stands in the run's results.
    """
    import ray

    ray._private.worker.print_to_stdstream = lambda data, ignore_prefix: None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ray._private.utils.set_sigterm_handler = lambda handler: None
    usual = signal.getsignal(signal.SIGTERM)
    # A closed terminal sends SIGHUP to all of its processes: Ray's are to be ended by this one, in good order. They
    # inherit what is blocked.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if usual is not None:
            signal.signal(signal.SIGTERM, usual)
