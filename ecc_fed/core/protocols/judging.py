"""What tells how good a reply is: models, Eq. (1) over them, the customer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecc_fed.core.records import Array, Feedback, Judgement, Pair
from ecc_fed.core.truth import Truth


class TextEncoder(Protocol):
    """Maps texts to unit vectors, so that a dot product is a cosine."""

    def encode(self, texts: Sequence[str]) -> Array:
        """(texts, dimensions), rows of unit L2 norm, fp32."""
        ...


class SimilarityModel(Protocol):
    """How close two texts are in meaning, 0 to 1."""

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        """(pairs,), each in [0, 1]."""
        ...


class RelevanceModel(Protocol):
    """How well a reply answers a query, 0 to 1."""

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), each in [0, 1]."""
        ...


class Judge(Protocol):
    """Scores replies by Eq. (1) against the cloud's replies."""

    accept_score: float

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        """One judgement for every (query, reply, cloud reply)."""
        ...

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """Relevance alone, which needs no cloud reply."""
        ...


class FeedbackSource(Protocol):
    """The customer's own verdict on a reply; None where the customer says nothing."""

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        """One verdict for every (pair, truth, reply): a played customer knows the truth, where there is any."""
        ...
