"""Ends what is left of a Ray whose starter has ended, however it ended, and removes Ray's folder.

Runs as a script in a process of its own, `guardian.py FOLDER MARK`, that outlives its starter by a few seconds at
most: it waits for the end of its standard input, which a `kill -9` of the starter closes as well. MARK is an entry
of the environment that the processes of this Ray alone have. Needs the standard library alone, so that it
starts at once and takes little.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

# What ends by itself, as Ray's workers do without their raylet, is given this long.
_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.1


def belongs(process_id: int, folder: str, mark: bytes) -> bool:
    """Whether a process is one of this Ray.

    It has the mark; or, as a process that names itself may write the name over its environment, it is named as
    Ray's own are and holds a file of the folder open.
    """
    process = Path(f"/proc/{process_id}")
    try:
        if mark in (process / "environ").read_bytes().split(b"\0"):
            return True
        if not (process / "cmdline").read_bytes().startswith(b"ray::"):
            return False
        return any(file.readlink().is_relative_to(folder) for file in (process / "fd").iterdir())
    except OSError:  # it has ended, or is someone else's
        return False


def left_of(folder: str, mark: bytes) -> list[int]:
    """Ids of the processes of this Ray; none where the system does not tell."""
    if not Path("/proc/self/environ").exists():
        return []
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [process_id for process_id in found if belongs(process_id, folder, mark)]


def end(process_id: int, folder: str, mark: bytes) -> None:
    """Kills a process of this Ray, and none that has come by its id meanwhile."""
    try:
        handle = os.pidfd_open(process_id)
    except OSError:
        return
    try:
        if belongs(process_id, folder, mark):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return
    finally:
        os.close(handle)


def guard(folder: str, mark: bytes) -> None:
    """Waits for the end of standard input, then ends and removes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with its starter, not before
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    deadline = time.monotonic() + _GRACE_SECONDS
    while (left := left_of(folder, mark)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    for process_id in left:
        end(process_id, folder, mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    guard(sys.argv[1], os.fsencode(sys.argv[2]))
