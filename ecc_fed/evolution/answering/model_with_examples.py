"""The end model answers with the shop's nearest own examples before its eyes: retrieval-augmented generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.ranges import require
from ecc_fed.core.records import Asked, OwnExample, Turn
from ecc_fed.evolution.answering.search import Match, Search


class ModelWithExamples:
    """An `Answering` whose prompts begin with the nearest examples as former turns, the nearest last.

    Turns are what every chat template takes; where a prompt is too long, the farthest example goes first.

    Args:
        count: examples in a prompt, 1 or more.
        match, encoder: as `Search`.

    Raises:
        ConfigError: `count` out of range, or as `Search`.
    """

    shows_examples: ClassVar[bool] = True

    def __init__(
        self, count: int = 3, match: Match = "question_and_answer", encoder: TextEncoder | None = None
    ) -> None:
        require(count >= 1, "answering.count", count, "1 or more")
        self._count, self._search = count, Search(match, encoder)

    def prepare(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[tuple[Turn, ...] | str]:
        """Each prompt behind its examples."""
        found = self._search.nearest(asked, known, self._count)
        return [(*_turns(near), *each.prompt) for each, near in zip(asked, found, strict=True)]


def _turns(examples: Sequence[OwnExample]) -> list[Turn]:
    return [turn for example in examples for turn in (Turn("customer", example.query), Turn("agent", example.reply))]
