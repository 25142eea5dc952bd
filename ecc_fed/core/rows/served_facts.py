"""How right the replies of a cycle were: a part of `MetricRow`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServedFacts:
    """Counts over served queries, measured by the simulation; no device knows them.

    Attributes:
        asked, right: queries that ask for facts, and those whose reply stated them all and no competing value.
        changed, changed_right: of these, the queries one of whose facts had changed by then.
    """

    asked: int
    right: int
    changed: int
    changed_right: int
