"""One writer in a folder at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecc_fed.core.errors import RunDirectoryError, UserError

LOCK = ".lock"


@contextmanager
def sole_writer(folder: Path, busy: str, remedy: str) -> Iterator[None]:
    """Keeps other processes that ask for the same out of `folder`, which is made.

    Args:
        folder: what to keep them out of.
        busy: said to the one who comes second.
        remedy: said where the folder cannot be made.

    Raises:
        UserError: another is at work there.
        RunDirectoryError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise RunDirectoryError(f"cannot write {folder}: {error.strerror}; {remedy}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(busy) from error
        yield


@contextmanager
def taken(path: Path, *, waits: bool = False) -> Iterator[bool]:
    """Whether this process holds the lock `path` while the block lasts; False: another one does.

    With `waits` it holds it in any case, once nobody else does any more.

    Raises:
        RunDirectoryError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise RunDirectoryError(f"cannot write {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def is_busy(folder: Path) -> bool:
    """Whether a `sole_writer` is at work in `folder`."""
    try:
        with (folder / LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
