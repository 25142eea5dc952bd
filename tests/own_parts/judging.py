"""A judge's two models, and a customer who wants a polite reply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecc_fed.core.records import Array, Feedback, Pair
from ecc_fed.core.truth import Truth


class SharedCharacters:
    """The share of characters that two texts have in common."""

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        pairs = [(set(one), set(other)) for one, other in zip(left, right, strict=True)]
        return np.array([len(one & other) / max(1, len(one | other)) for one, other in pairs], np.float32)


class Mentions:
    """1 where the reply mentions `word`, else 0."""

    def __init__(self, word: str) -> None:
        self.word = word

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        return np.array([self.word in reply for reply in replies], np.float32)


class WantsPoliteness:
    """Satisfied by a reply that begins with one of `openings`."""

    def __init__(self, openings: Sequence[str]) -> None:
        self.openings = tuple(openings)

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        return [Feedback(reply.startswith(self.openings)) for reply in replies]
