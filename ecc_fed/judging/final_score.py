"""Eq. (1) of the paper: how good an end model's reply is, judged against the cloud's reply."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.final_score import final_score
from ecc_fed.core.protocols import RelevanceModel, SimilarityModel
from ecc_fed.core.records import Array, Judgement


class FinalScoreJudge:
    """`Judge` by Eq. (1).

    Args:
        similarity: scores the reply against the cloud's reply.
        relevance: scores a reply against the query.
        score_alpha: weight of the similarity, 0..1 (0.8 in the paper).
        relevance_floor: Theta, 0..1 (0.2 in the paper).
        accept_score: a final score below it is a bad reply, 0..1. It belongs to the pair of models.

    Raises:
        ConfigError: a number outside 0..1.
    """

    def __init__(
        self,
        similarity: SimilarityModel,
        relevance: RelevanceModel,
        score_alpha: float = 0.8,
        relevance_floor: float = 0.2,
        accept_score: float = 0.6,
    ) -> None:
        for name, value in (
            ("score_alpha", score_alpha),
            ("relevance_floor", relevance_floor),
            ("accept_score", accept_score),
        ):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"judge.{name} is {value}: it must lie in 0..1")
        self._similarity, self._relevance = similarity, relevance
        self.score_alpha, self.relevance_floor, self.accept_score = score_alpha, relevance_floor, accept_score

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        """One judgement for every (query, reply, cloud reply).

        Raises:
            ValueError: the three differ in length.
        """
        count = len(queries)
        if not count == len(replies) == len(cloud_replies):
            raise ValueError(f"judge got {count} queries, {len(replies)} replies, {len(cloud_replies)} cloud replies")
        similarity = self._similarity.similarity(replies, cloud_replies)
        both = self._relevance.relevance([*queries, *queries], [*replies, *cloud_replies])
        relevance, cloud_relevance = both[:count], both[count:]
        scores = final_score(similarity, relevance, cloud_relevance, self.score_alpha, self.relevance_floor)
        return [
            Judgement(
                similarity=float(similarity[i]),
                relevance=float(relevance[i]),
                cloud_relevance=float(cloud_relevance[i]),
                final_score=float(scores[i]),
                relevance_trusted=bool(cloud_relevance[i] >= self.relevance_floor),
                accepted=bool(scores[i] >= self.accept_score),
            )
            for i in range(count)
        ]

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), relevance alone: it needs no cloud reply."""
        return self._relevance.relevance(queries, replies)
