"""The floor of every table: the answer of the nearest own example, word for word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.records import Asked, OwnExample, Turn
from ecc_fed.evolution.answering.search import Match, Search


class NearestExample:
    """An `Answering` that copies and asks no model; a shop without any example leaves the query to its model.

    Args:
        match, encoder: as `Search`.

    Raises:
        ConfigError: as `Search`.
    """

    shows_examples: ClassVar[bool] = True
    asks_model: ClassVar[bool] = False

    def __init__(self, match: Match = "question_and_answer", encoder: TextEncoder | None = None) -> None:
        self._search = Search(match, encoder)

    def prepare(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[tuple[Turn, ...] | str]:
        """The nearest example's answer to each."""
        found = self._search.nearest(asked, known, 1)
        return [near[-1].reply if near else each.prompt for each, near in zip(asked, found, strict=True)]
