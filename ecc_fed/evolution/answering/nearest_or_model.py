"""Copies the answer of a near own example, and asks the model about what is like none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import Asked, OwnExample, Turn
from ecc_fed.evolution.answering.search import Match, Search
from ecc_fed.evolution.nearest import NearestTexts


class NearestOrModel:
    """An `Answering` by the distance from a question to the nearest known one, 0 to 1, in shared characters.

    Up to `max_distance` the nearest example's answer is copied, word for word; beyond, the end model answers alone. In
    an arm that shares adapters the copy has what is the shop's own, and the model what others have learned too. A
    question that is an own example itself goes to the model, which so learns from all of them.

    Args:
        max_distance: up to where an answer is copied; 0 copies answers to the very same words alone, 1 all.
        match, encoder: as `Search`; which example is copied.

    Raises:
        ConfigError: `max_distance` out of range, or as `Search`.
    """

    shows_examples: ClassVar[bool] = True

    def __init__(
        self,
        max_distance: float = 0.85,
        match: Match = "question_and_answer",
        encoder: TextEncoder | None = None,
    ) -> None:
        require_number("answering.max_distance", max_distance, 0, 1)
        self._max_distance, self._search = max_distance, Search(match, encoder)

    def prepare(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[tuple[Turn, ...] | str]:
        """The nearest example's answer to each question that is near enough, and the prompts of the others."""
        own = {example.pair_id for example in known}
        index = NearestTexts([example.query for example in known])
        found = self._search.nearest(asked, known, 1)

        def is_near(each: Asked) -> bool:
            return each.leave_out not in own and 1 - float(index.similarities(each.query).max()) <= self._max_distance

        return [
            near[-1].reply if near and is_near(each) else each.prompt for each, near in zip(asked, found, strict=True)
        ]
