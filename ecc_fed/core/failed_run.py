"""A run that failed of its own, as it is told of: a file beside its folder, until it is tried again.

Beside and not inside: the folder may be free again, where nothing had been begun, or hold what a next try goes on from.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import EccError, RunDirectoryError
from ecc_fed.core.outside_text import cut
from ecc_fed.core.rows import read_record, write_record
from ecc_fed.core.run_directory import RunDirectory

_SUFFIX = ".failed.json"
# Of this file alone.
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class FailedRun:
    """`RUN.failed.json`.

    Attributes:
        schema: of this file.
        name: of the run in its study or sweep.
        kind: the error's class.
        error: what it says.
        exit_code: of the run by itself.
        traceback: where it came from, of an error that nobody foresaw; else empty.
        session: of the processes that made runs beside each other; empty for one by itself.
    """

    schema: int
    name: str
    kind: str
    error: str
    exit_code: int
    traceback: str = ""
    session: str = ""


def failure_path(root: Path) -> Path:
    """Where the failure of the run in `root` is kept."""
    return root.with_name(f"{root.name}{_SUFFIX}")


def keep_failure(directory: RunDirectory, name: str, error: Exception, session: str = "") -> FailedRun:
    """Keeps what the run failed of.

    Raises:
        WriteError: the file cannot be written.
    """
    foreseen = isinstance(error, EccError)
    failed = FailedRun(
        _SCHEMA,
        name,
        type(error).__name__,
        cut(str(error)),
        error.exit_code if isinstance(error, EccError) else 1,
        "" if foreseen else "".join(traceback.format_exception(error)),
        session,
    )
    write_record(failure_path(directory.root), failed)
    return failed


def forget_failure(directory: RunDirectory) -> None:
    """The run is tried again, or has ended well."""
    failure_path(directory.root).unlink(missing_ok=True)


def failed_in(root: Path, session: str) -> FailedRun | None:
    """What the run in `root` failed of in one of these processes, if it did.

    Raises:
        RunDirectoryError: the file is broken, or another version wrote it.
    """
    path = failure_path(root)
    found = _read(path) if path.is_file() else None
    return found if found is not None and found.session == session else None


def failures_below(folder: Path) -> Iterator[tuple[Path, FailedRun]]:
    """(folder of the run, what it failed of) of the runs in or below `folder` that failed and were not finished since.

    Raises:
        RunDirectoryError: a file is broken, or another version wrote it.
    """
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        root = path.with_name(path.name.removesuffix(_SUFFIX))
        if not RunDirectory(root).run.is_file():
            yield root, _read(path)


def _read(path: Path) -> FailedRun:
    failed = read_record(path, FailedRun, remedy="remove that file")
    if failed.schema != _SCHEMA:
        raise RunDirectoryError(f"{path} was written by another version: remove that file.")
    return failed
