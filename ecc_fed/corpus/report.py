"""What a corpus was read as: the numbers behind `ecc-fed corpus`, for people and for other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that could not be read: its number (from 1) and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class StepCount:
    """One step's balance: what went in equals what came out plus what was dropped, by reason."""

    read: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    def reasons(self) -> str:
        """What was dropped, most first: "near_duplicate 59, no_customer_turn 1"; empty for nothing."""
        most_first = sorted(self.dropped.items(), key=lambda item: -item[1])
        return ", ".join(f"{reason} {count}" for reason, count in most_first if count)

    def losses(self) -> str:
        """What an error says of it where half or more was dropped; else empty."""
        if 2 * self.kept > self.read:
            return ""
        return f" Of {self.read} read {self.read - self.kept} were dropped: {self.reasons()}."


@dataclass(frozen=True, slots=True)
class LengthStats:
    """Lengths in tokens (or in the unit the field says)."""

    count: int
    mean: float
    median: float
    p95: float
    longest: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> LengthStats:
        """Statistics of `lengths`; all zero for none."""
        values = np.fromiter(lengths, dtype=np.int64)
        if values.size == 0:
            return cls(0, 0.0, 0.0, 0.0, 0)
        return cls(
            count=int(values.size),
            mean=float(values.mean()),
            median=float(np.median(values)),
            p95=float(np.percentile(values, 95)),
            longest=int(values.max()),
        )


@dataclass(frozen=True, slots=True)
class SplitCount:
    """Sessions and pairs of one split of one shop; `sessions` counts those that gave a pair."""

    sessions: int
    pairs: int


@dataclass(frozen=True, slots=True)
class ShopCount:
    """One shop: the sessions it was given, and what each split holds after the caps."""

    shop_id: str
    sessions: int
    history: SplitCount
    stream: SplitCount
    test: SplitCount


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """What was read, cleaned, dropped and why, and how it was split into shops.

    order:         what the order by which sessions are split has to do with time
    lines:         lines of the file; kept lines went into a session
    turns:         turns of the recovered sessions; "merged" ones live on inside their neighbour
    edits:         changes inside kept turns (links, emoji codes, notices cut), by kind
    sessions:      recovered sessions; kept ones have at least one customer turn that was answered
    placed:        sessions given to shops
    pairs:         answered customer turns of the placed sessions; kept ones stand in a shop's split
    broken_lines:  the first broken lines; `lines.dropped["broken"]` counts them all
    lengths:       tokens of the kept pairs' "query", "context" (without the query) and "reply";
                   "session_turns" in turns
    language:      of the dialogues (`core.language`); None where they hold no letter
    """

    path: str
    format: str
    order: str
    lines: StepCount
    broken_lines: tuple[BrokenLine, ...]
    turns: StepCount
    edits: Mapping[str, int]
    sessions: StepCount
    placed: StepCount | None = None
    pairs: StepCount | None = None
    lengths: Mapping[str, LengthStats] = field(default_factory=dict)
    shops: tuple[ShopCount, ...] = ()
    notes: tuple[str, ...] = ()
    language: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return asdict(self)
