"""A run folder belongs to one run: who has claimed it, and who is at work in it.

claim.json     the run's id and the digest of its config; written first
.lock          locked by the one process that leads the run
.hosts.lock    shared by the processes in which its shops live
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

from ecc_fed.core.errors import RunDirectoryError, UserError
from ecc_fed.core.folder_lock import LOCK, is_busy, sole_writer
from ecc_fed.core.rows import SCHEMA, check_schema, decode, write_record
from ecc_fed.core.run_directory import RunDirectory, read_json

_HOSTS_LOCK = ".hosts.lock"
_ORPHANS_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Claim:
    """`claim.json`.

    Attributes:
        schema: of the folder's files.
        run_id: stands in the shops' states too, which are refused in another run.
        config_sha256: of the config that the run started with.
        created: when, UTC.
    """

    schema: int
    run_id: str
    config_sha256: str
    created: str


def new_run_id() -> str:
    """Random, and no part of any result."""
    return secrets.token_hex(8)


def read_claim(directory: RunDirectory) -> Claim | None:
    """Whose the folder is; None if no run has claimed it.

    Raises:
        RunDirectoryError: the claim is damaged, or another version wrote it.
    """
    if not directory.claim.is_file():
        return None
    found = read_json(directory.claim)
    check_schema(found.get("schema"), str(directory.root))
    return decode(Claim, found, str(directory.claim))


def reserved(wanted: Path, elsewhere: str) -> Path:
    """`wanted`, or the first of `wanted_2`, `wanted_3`... that is not there, made by this very call.

    Runs that start in the same second so get a folder each. `elsewhere` says how another is chosen.

    Raises:
        RunDirectoryError: no folder can be made there.
    """
    for number in count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError as error:
            if path.parent.is_dir():
                continue
            raise RunDirectoryError(
                f"cannot make {path}: {error.strerror}; choose another folder with {elsewhere}"
            ) from error
        except OSError as error:
            raise RunDirectoryError(
                f"cannot make {path}: {error.strerror}; choose another folder with {elsewhere}"
            ) from error
        return path
    raise AssertionError("there is always a next number")


def refuse_taken(directory: RunDirectory, elsewhere: str) -> None:
    """Refuses a folder that holds anything; reads only.

    Args:
        directory: where a new run is to go.
        elsewhere: how another folder is chosen, such as "hydra.run.dir=FOLDER".

    Raises:
        UserError: says what is there, and what to do.
    """
    root = directory.root
    found = next(_content(root), None)
    if found is None:
        return
    other = f"choose another folder with {elsewhere}"
    if is_busy(root):
        raise UserError(f"{root} is in use: a run is under way there. Wait for its end, or {other}.")
    if not directory.claim.is_file() and not directory.run.is_file():
        raise UserError(f"{root} is not empty (it holds {found}), and what lies there is no run. Move it, or {other}.")
    state = "a finished run" if directory.run.is_file() else "a run that did not end"
    raise UserError(
        f"{root} holds {state}, and a folder belongs to one run. `ecc-fed run --resume {root}` goes on with that one; "
        f"for a new one {other}."
    )


def _content(root: Path) -> Iterator[Path]:
    """The files of a folder by their path in it, but empty ones (a log that Hydra opened), locks and leftovers."""
    if root.is_file():
        yield Path(root.name)
    for path in root.rglob("*"):
        if path.name not in (LOCK, _HOSTS_LOCK) and not path.name.endswith(".partial"):
            with suppress(OSError):
                if path.is_file() and path.stat().st_size:
                    yield path.relative_to(root)


@contextmanager
def working(directory: RunDirectory) -> Iterator[None]:
    """Keeps every other process from leading a run in this folder.

    Raises:
        UserError: one does.
        RunDirectoryError: the folder cannot be written.
    """
    busy = f"{directory.root} is in use: a run is under way there. Wait for its end, or choose another folder."
    with sole_writer(directory.root, busy, "choose another folder"):
        yield


@contextmanager
def claimed(directory: RunDirectory, config_sha256: str, elsewhere: str, run_id: str | None = None) -> Iterator[Claim]:
    """The folder for a new run, and nobody else's while the block lasts.

    A user's mistake that is found before any shop or server has left anything frees the folder again; a run that is
    stopped as early can go on.

    Args:
        directory: where the run is to go.
        config_sha256: of its config.
        elsewhere: how another folder is chosen, for errors.
        run_id: None makes one up.

    Raises:
        UserError: the folder is not empty.
        RunDirectoryError: the folder cannot be written.
    """
    refuse_taken(directory, elsewhere)
    with working(directory):
        if next(_content(directory.root), None) is not None:  # another was quicker
            raise UserError(f"{directory.root} is not empty any more. Choose another folder with {elsewhere}.")
        claim = Claim(SCHEMA, run_id or new_run_id(), config_sha256, datetime.now(UTC).isoformat(timespec="seconds"))
        write_record(directory.claim, claim)
        try:
            yield claim
        except UserError:
            if not directory.shops.exists() and not directory.server.exists():
                for path in (directory.claim, directory.probes):
                    path.unlink(missing_ok=True)
                shutil.rmtree(directory.config.parent, ignore_errors=True)
            raise


def accept_claim(directory: RunDirectory, run_id: str, config_sha256: str, elsewhere: str) -> None:
    """For a process with a shop of a run that is led elsewhere: the folder is that run's, or becomes it.

    Raises:
        UserError: it is another run's, or something else lies there.
    """
    try:
        claim = read_claim(directory)
        if claim is None:
            refuse_taken(directory, elsewhere)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            claim = Claim(SCHEMA, run_id, config_sha256, created)
            write_record(directory.claim, claim)
    except UserError:
        claim = read_claim(directory)  # another process of the run may have been quicker
        if claim is None:
            raise
    if claim.run_id != run_id:
        raise UserError(
            f"{directory.root} belongs to run {claim.run_id}, and this is run {run_id}: choose another folder with "
            f"{elsewhere}, or go on with that run."
        )


def join(directory: RunDirectory) -> IO[str]:
    """Tells that this process has shops of the run, as long as the file that is returned stays open.

    A lock of the process and not of the file, so that a host in the leading process is no stranger to it.
    """
    directory.root.mkdir(parents=True, exist_ok=True)
    file = (directory.root / _HOSTS_LOCK).open("a+")
    fcntl.lockf(file, fcntl.LOCK_SH)
    return file


def wait_for_orphans(directory: RunDirectory, seconds: float = _ORPHANS_SECONDS) -> None:
    """Waits until no process of a killed run has its shops any more, or both would write their states.

    Raises:
        UserError: some still have after `seconds`.
    """
    deadline = time.monotonic() + seconds
    with (directory.root / _HOSTS_LOCK).open("a+") as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"Processes of the run that was stopped are still at work in {directory.root}: end them first "
                        f"(`fuser {os.fspath(directory.root / _HOSTS_LOCK)}` names them)."
                    ) from error
                time.sleep(_POLL_SECONDS)
