"""A folder that is there whole or not at all, with the SHA-256 of every file in it.

It is written aside and renamed, so a killed process leaves the former folder or the new one; and a
file that was changed, lost or put there afterwards is found when the folder is read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ecc_fed.core.errors import DamagedState
from ecc_fed.core.run_directory import read_json, write_json

DIGESTS = "digests.json"
_PARTIAL = ".partial"


def _files(folder: Path) -> dict[str, Path]:
    """Its files by their path in it, but the digests themselves and what a desktop hides there (`.DS_Store`)."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path != folder / DIGESTS
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing_folder(final: Path) -> Iterator[Path]:
    """An empty folder beside `final` to write to; it takes `final`'s place when the block ends without error.

    Raises:
        OSError: the disk is full, or the folder cannot be written; `final` is then as it was.
        RunDirectoryError: as the block, and as `write_json`.
    """
    aside, former = (final.with_name(f".{final.name}{mark}{_PARTIAL}") for mark in ("", ".former"))
    for left in (aside, former):
        shutil.rmtree(left, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        yield aside
        write_json(aside / DIGESTS, {name: _digest(path) for name, path in _files(aside).items()})
        if final.exists():
            # Moved and not emptied where it stands, or a kill could leave a piece of it under its name.
            final.rename(former)
        aside.rename(final)
    finally:
        for left in (aside, former):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """An empty folder beside `final` to write to; it becomes `final` when the block ends without error.

    For what others read: it holds what the block has written and nothing else, no digests.

    Raises:
        OSError: the disk is full, the folder cannot be written, or something lies in `final`; nothing is then left.
    """
    missing = [folder for folder in (final.parent, *final.parent.parents) if not folder.exists()]
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{final.name[:100]}-", suffix=_PARTIAL, dir=final.parent))
        try:
            yield aside
            for path in _files(aside).values():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            aside.chmod(0o755)  # mkdtemp's is its owner's alone
            aside.rename(final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def check_digests(folder: Path) -> None:
    """Holds every file to what was written.

    Raises:
        DamagedState: a file is changed, missing or too many; names the first.
        RunDirectoryError: there are no digests that can be read.
    """
    listed, found = read_json(folder / DIGESTS), _files(folder)
    for name in sorted({*listed, *found}):
        if name not in found:
            raise DamagedState(f"{folder / name} is missing")
        if name not in listed:
            raise DamagedState(f"{folder / name} was not written with the rest")
        if listed[name] != _digest(found[name]):
            raise DamagedState(f"{folder / name} is not as it was written: its SHA-256 is another")


def remove_leftovers(root: Path) -> None:
    """Removes what a killed process was writing below `root`, and never finished."""
    for path in list(root.rglob(f".*{_PARTIAL}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
