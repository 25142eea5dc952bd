"""A run's test queries as a router meets them: the device's reply, the cloud's, and how sure the device was."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from ecc_fed.core.rows import SampleRow, Signals
from ecc_fed.reporting.measures import all_right
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.units import SeededRow, units_of

Quality = Literal["facts", "chrf"]


@dataclass(frozen=True, slots=True)
class RoutedQuery:
    """One test query with what both sides make of it.

    Attributes:
        unit: shop and dialogue, for intervals, as everywhere (`units_of`).
        confidence: the shop's router's chance that the device's reply is good, without any reference.
        signals: from which it has that.
        device, cloud: quality of either's reply, 0 to 1.
        good: what the chance is of: the judge accepts the reply, and no fact of it is wrong.
        device_characters, cloud_characters: lengths of the replies.
    """

    unit: tuple[Hashable, Hashable]
    confidence: float
    signals: Signals
    device: float
    cloud: float
    good: bool
    device_characters: int
    cloud_characters: int


def quality_of(run: Run) -> Quality:
    """Right facts where the run's queries have any, else chrF against the human reply.

    Not the final score: the cloud's reply is what it is measured by, and would be held against itself.
    """
    return "facts" if any(row.facts for row in run.rows("final")) else "chrf"


def _value(row: SampleRow, quality: Quality) -> float | None:
    if quality == "chrf":
        return None if row.chrf is None else row.chrf / 100
    right = all_right(row)
    return None if right is None else float(right)


def routed_queries(runs: Sequence[Run]) -> list[RoutedQuery]:
    """The queries of all runs that both sides answered, that can be measured, and that the router had a chance for."""
    found: list[tuple[SeededRow, SampleRow, Quality]] = []
    for run in runs:
        quality = quality_of(run)
        cloud = {(row.shop_id, row.pair_id): row for row in run.rows("teacher")}
        pairs = [(row, cloud.get((row.shop_id, row.pair_id))) for row in run.rows("final")]
        found += [((run.seed, row), answer, quality) for row, answer in pairs if answer is not None]
    units = units_of([row for row, _, _ in found])
    queries = [
        _query((shop, dialogue), row, answer, quality)
        for shop, dialogue, ((_, row), answer, quality) in zip(units.shops, units.dialogues, found, strict=True)
    ]
    return [query for query in queries if query is not None]


def _query(unit: tuple[Hashable, Hashable], row: SampleRow, answer: SampleRow, quality: Quality) -> RoutedQuery | None:
    device, cloud = _value(row, quality), _value(answer, quality)
    if row.confidence is None or row.signals is None or row.accepted is None or device is None or cloud is None:
        return None
    return RoutedQuery(
        unit=unit,
        confidence=row.confidence,
        signals=row.signals,
        device=device,
        cloud=cloud,
        good=row.accepted and all_right(row) is not False,
        device_characters=len(row.reply),
        cloud_characters=len(answer.reply),
    )
