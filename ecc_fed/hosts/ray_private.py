"""What we need of Ray and Ray keeps to itself. Tests hold these assumptions to the installed version."""

from __future__ import annotations

import ctypes
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


def _takes_signals() -> ctypes.c_bool:
    """Whether Ray's C++ part has put its answer to SIGTERM and to crashes in place in this process, as it believes.

    It does so once, early while it connects, and answers SIGTERM by a trace and, three seconds later, by an abort that
    cuts off whatever this process still has to put in order.
    """
    import ray

    library = ctypes.CDLL(ray._raylet.__file__)
    try:
        return ctypes.c_bool.in_dll(library, "_ZN3ray6RayLog36is_failure_signal_handler_installed_E")
    except ValueError:  # a Ray that keeps it to itself: ours is put back once it has connected
        return ctypes.c_bool()


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
    usual, takes_signals = signal.getsignal(signal.SIGTERM), _takes_signals()
    # A closed terminal sends SIGHUP to all of its processes: Ray's are to be ended by this one, in good order. They
    # inherit what is blocked.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    takes_signals.value = True
    try:
        yield
    finally:
        takes_signals.value = False  # else Ray's end would take away ours
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if usual is not None:
            signal.signal(signal.SIGTERM, usual)
