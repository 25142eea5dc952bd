"""What we need of Ray and Ray keeps to itself. Tests hold these assumptions to the installed version."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Without one of them Ray does nothing more; it has others that a run can do without.
_VITAL = ("gcs_server", "raylet")
_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def ended_service() -> str | None:
    """Which of the processes that a Ray started here cannot do without has ended; None while all are there.

    A Ray that was started elsewhere has none here.
    """
    import ray

    node: Any = ray._private.worker._global_node
    if node is None:
        return None
    return next((kind for kind, _ in node.dead_processes() if kind in _VITAL), None)


def started_here() -> bool:
    """Whether this process started the Ray that it is connected to."""
    import ray

    return ray._private.worker._global_node is not None


def give_token() -> None:
    """A Ray that is started here asks its processes for a token, which Ray would keep in ~/.ray.

    Where home cannot be written, or is not there, the token comes by the environment. What the user has set stands.
    """
    if any(os.environ.get(name) for name in _TOKEN_VARIABLES):
        return
    try:
        folder = Path.home() / ".ray"
        if (folder / "auth_token").is_file():
            return
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):
        usable = False
    if not usable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


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
