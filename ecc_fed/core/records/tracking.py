"""A number of a run, as a tracker gets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrackedNumber:
    """One number.

    Attributes:
        name: its path in `summary.json`, or `metrics.` and the name in `metrics.jsonl`; of the package's own words
            alone, never of a shop's or a dialogue's.
        server_round: the round that it speaks of; of the whole run: the last one.
        value: finite.
    """

    name: str
    server_round: int
    value: float
