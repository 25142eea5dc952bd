"""A shop that says what it said last."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.records import Asked, OwnExample, Turn


class Parrot:
    """Says `greeting` and the answer of its latest example to everything; without any, its model answers."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def prepare(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[tuple[Turn, ...] | str]:
        return [f"{self.greeting}{known[-1].reply}" if known else each.prompt for each in asked]
