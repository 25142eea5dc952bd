"""What became of a corpus as it was read: nothing that was lost goes untold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step's balance: what went in is what came out and what was dropped, by reason."""

    read: int
    kept: int
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class BrokenLineRow:
    """A line that could not be read: its number (from 1) and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A corpus that lies in a file, from its lines to the shops' pairs.

    Attributes:
        path, format: the file.
        steps: lines, turns, sessions, placed (in shops) and pairs, in this order.
        edits: changes inside kept turns, by kind.
        broken_lines: the first of them; `steps["lines"]` counts all.
        notes: what else there is to know, such as what the partition did.
        order: what the order by which sessions were split has to do with time; empty in older files.
        language: of the dialogues (`core.language`); None where they hold no letter, and in older files.
    """

    path: str
    format: str
    steps: Mapping[str, StepRow]
    edits: Mapping[str, int]
    broken_lines: tuple[BrokenLineRow, ...]
    notes: tuple[str, ...]
    order: str = ""
    language: str | None = None
