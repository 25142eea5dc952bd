"""The ledger: every byte that leaves a shop, to whom, of what kind, redacted how.

Entries carry no clock time, so that the same run writes the same ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.run_directory import read_jsonl, write_jsonl

_FIELDS = tuple(field.name for field in fields(EgressEntry))
_VALUES = {"destination": ("cloud_teacher", "aggregator"), "direction": ("up", "down")}


class MemoryLedger:
    """Collects entries until their shop's state is saved. Safe under threads."""

    def __init__(self) -> None:
        self._entries: list[EgressEntry] = []
        self._lock = threading.Lock()

    def record(self, entry: EgressEntry) -> None:
        """Appends one entry."""
        with self._lock:
            self._entries.append(entry)

    def entries(self, shop_id: str | None = None) -> list[EgressEntry]:
        """The entries of one shop, or of all, in the order of recording; they stay in the ledger."""
        with self._lock:
            return [entry for entry in self._entries if shop_id is None or entry.shop_id == shop_id]

    def drain(self, shop_id: str) -> list[EgressEntry]:
        """Takes the shop's entries out of the ledger, in the order of recording."""
        with self._lock:
            taken = [entry for entry in self._entries if entry.shop_id == shop_id]
            self._entries = [entry for entry in self._entries if entry.shop_id != shop_id]
        return taken


def entry_to_row(entry: EgressEntry) -> dict[str, Any]:
    """The entry as a JSON object for `core.run_directory.write_jsonl` and `append_jsonl`."""
    return asdict(entry)


def entry_from_row(row: Mapping[str, Any]) -> EgressEntry:
    """The entry that `entry_to_row` made.

    Raises:
        ValueError: a missing or unknown field, or a value of the wrong type.
    """
    if set(row) != set(_FIELDS):
        raise ValueError(f"a ledger line holds exactly the fields {', '.join(_FIELDS)}")
    for name, allowed in _VALUES.items():
        if row[name] not in allowed:
            raise ValueError(f"{name} is {row[name]!r}, not one of {', '.join(allowed)}")
    for name in ("num_bytes", "server_round"):
        if type(row[name]) is not int or row[name] < 0:
            raise ValueError(f"{name} is {row[name]!r}, not a whole number from 0")
    for name in ("shop_id", "kind", "redaction"):
        if not isinstance(row[name], str):
            raise ValueError(f"{name} is {row[name]!r}, not a text")
    if not isinstance(row["details"], dict):
        raise ValueError(f"details is {row['details']!r}, not an object")
    return EgressEntry(**row)


def write_ledger(path: Path, entries: Iterable[EgressEntry]) -> None:
    """Writes a JSONL ledger, an entry a line, the whole file or nothing.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    write_jsonl(path, map(entry_to_row, entries))


def read_ledger(path: Path) -> list[EgressEntry]:
    """Every entry of a JSONL ledger.

    Raises:
        RunDirectoryError: the file cannot be read, or a line of it is no ledger entry.
    """
    entries = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            entries.append(entry_from_row(row))
        except ValueError as error:
            raise RunDirectoryError(
                f"{path}: entry {number} is no ledger entry ({error}); "
                "restore the file from a copy, or run again in a fresh directory"
            ) from error
    return entries
