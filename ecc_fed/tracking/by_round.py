"""Numbers of one round together, for stores that take a round at a time and in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from ecc_fed.core.records import TrackedNumber


def by_round(numbers: Iterable[TrackedNumber]) -> Iterator[tuple[int, dict[str, float]]]:
    """(round, its numbers by name), rounds ascending."""
    ordered = sorted(numbers, key=lambda number: number.server_round)
    for server_round, of_round in groupby(ordered, key=lambda number: number.server_round):
        yield server_round, {number.name: number.value for number in of_round}
