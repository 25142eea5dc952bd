"""A folder of our own for Ray's sockets and logs. It goes when the run ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.hosts import guardian
from ecc_fed.hosts.waiting import RayDied

_PREFIX = "ecc_fed-ray-"
_LOCK = "lock"
_MARK = "ECC_FED_RAY"
# A path of a socket must fit into what the system has for it, its end included.
_LONGEST_PATH = (104 if sys.platform == "darwin" else 108) - 1
_LONGEST_NAME = len(f"/{_PREFIX}4194304-ffff")
_RAY_ADDS = len("/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store")
_GUARDIAN_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Scratch:
    """`mark` stands in the environment of all processes of this Ray, and of no others."""

    folder: Path
    mark: str

    @contextmanager
    def marking(self) -> Iterator[None]:
        """Processes that are started inside the block carry the mark, and so do theirs."""
        name, value = self.mark.split("=", 1)
        os.environ[name] = value
        try:
            yield
        finally:
            del os.environ[name]


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A new folder, with a process that guards it; what dead processes of ours left behind is removed first.

    Raises:
        RayDied: no folder can be made, or only one with too long a path.
    """
    parent = scratch_parent()
    folder = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(2)}"
    try:
        remove_stale(parent)
        folder.mkdir(mode=0o700)
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise RayDied(f"Ray needs a folder for its sockets: {error}. Set RAY_TMPDIR to another place.") from error
    made = Scratch(folder, f"{_MARK}={folder}")
    with lock:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, str(folder), made.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # neither Ctrl-C nor a closed terminal reaches it
        )
        try:
            yield made
        finally:
            assert guard.stdin is not None, "a pipe was asked for"
            guard.stdin.close()
            guard.wait(timeout=_GUARDIAN_SECONDS)


def scratch_parent() -> Path:
    """Where Ray's folders go: RAY_TMPDIR, else TMPDIR unless it is too long, else /tmp.

    Raises:
        RayDied: RAY_TMPDIR is too long.
    """
    most = _LONGEST_PATH - _RAY_ADDS - _LONGEST_NAME
    for name in ("RAY_TMPDIR", "TMPDIR"):
        given = os.environ.get(name)
        if not given:
            continue
        parent = Path(given).absolute()
        if len(os.fsencode(parent)) <= most:
            return parent
        if name == "RAY_TMPDIR":
            raise RayDied(
                f"RAY_TMPDIR={given} is too long by {len(os.fsencode(parent)) - most} characters for the sockets "
                "that Ray keeps there. Give a shorter one, or none."
            )
    return Path("/tmp")


def remove_stale(parent: Path) -> None:
    """Removes the folders of this user whose processes are dead; none of a process that lives, wherever it runs."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        process_id = folder.name.removeprefix(_PREFIX).split("-")[0]
        with contextlib.suppress(OSError):
            if not process_id.isdigit() or folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            if _is_alive(int(process_id)) or not _is_unlocked(folder / _LOCK):
                continue
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_unlocked(path: Path) -> bool:
    """Whether nobody holds the lock: a process in another container has an id that means nothing here."""
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
