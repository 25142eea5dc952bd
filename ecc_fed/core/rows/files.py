"""Files of rows and single records, each written and read by its dataclass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ecc_fed.core.errors import WriteError
from ecc_fed.core.rows.codec import REMEDY, decode, encode
from ecc_fed.core.run_directory import append_jsonl, encode_json, read_json, read_jsonl, write_json, write_jsonl

T = TypeVar("T")
Lift = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def write_rows(path: Path, rows: Iterable[object]) -> None:
    """Writes a JSON object a line, the whole file or nothing.

    Raises:
        RunDirectoryError: the file cannot be written, or a number is not finite.
    """
    write_jsonl(path, map(encode, rows))


def append_rows(path: Path, rows: Iterable[object]) -> None:
    """Appends rows and syncs; if that fails, the file is what it was.

    Raises:
        RunDirectoryError: as `write_rows`; or the file's last line is torn.
    """
    append_jsonl(path, map(encode, rows))


def append_unsynced(path: Path, rows: Iterable[object]) -> None:
    """Appends rows and leaves it to the system when they reach the disk: a killed process loses nothing by that.

    Whoever takes such a file over cuts a last line that was left torn (`core.run_directory.cut_torn_tail`).

    Raises:
        WriteError: the file cannot be written.
        RunDirectoryError: a number is not finite.
    """
    content = b"".join(encode_json(encode(row), path) + b"\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}; free some space") from error


def read_rows(
    path: Path,
    kind: type[T],
    *,
    lift: Lift | None = None,
    torn_tail: bool = False,
    remedy: str = REMEDY,
) -> list[T]:
    """Every row of a JSONL file.

    Args:
        path: the file.
        kind: the rows' dataclass.
        lift: turns a row as an older version wrote it into one as this version does.
        torn_tail: leave out a last line that a killed writer left torn.
        remedy: what to do about a row that does not fit.

    Raises:
        RunDirectoryError: the file cannot be read, or a row does not fit; names file, row (blank lines
            do not count), key and what fits.
    """
    rows: Iterable[Mapping[str, Any]] = read_jsonl(path, torn_tail=torn_tail)
    if lift is not None:
        rows = map(lift, rows)
    return [decode(kind, row, f"{path}, row {number}", remedy) for number, row in enumerate(rows, start=1)]


def write_record(path: Path, record: object) -> None:
    """Writes one JSON object, whole or not at all.

    Raises:
        RunDirectoryError: the file cannot be written, or a number is not finite.
    """
    write_json(path, encode(record))


def read_record(path: Path, kind: type[T], *, remedy: str = REMEDY) -> T:
    """The file's one record.

    Raises:
        RunDirectoryError: the file cannot be read, or does not fit; names file, key and what fits.
    """
    return decode(kind, read_json(path), str(path), remedy)
