"""Eq. (1) of the paper: how good an end model's reply is, judged against the cloud's reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.final_score import final_score
from ecc_fed.core.protocols import RelevanceModel, SimilarityModel
from ecc_fed.core.ranges import require
from ecc_fed.core.records import Array, Judgement


@dataclass(frozen=True)
class Thresholds:
    """The numbers of Eq. (1), and the one below which a reply is bad. They belong to the pair of models.

    | symbol | argument | range | source |
    |---|---|---|---|
    | alpha, the similarity's weight | `score_alpha` | 0 to 1 | Eq. (1); 0.8 in the paper's Sec. IV |
    | Theta | `relevance_floor` | 0 to 1 | Eq. (1); 0.2 in the paper's Sec. IV |
    | | `accept_score` | 0 to 1 | none in the paper |
    | AUC below which a shop leaves relevance out | `relevance_min_auc` | 0 (never) to 1 | none in the paper |

    Raises:
        ConfigError: a number outside 0..1.
    """

    score_alpha: float = 0.8
    relevance_floor: float = 0.2
    accept_score: float = 0.6
    # Of a shop's own replies against those of its other dialogues; 0.5 is a coin's.
    relevance_min_auc: float = 0.65

    def __post_init__(self) -> None:
        for name in ("score_alpha", "relevance_floor", "accept_score", "relevance_min_auc"):
            require(0 <= getattr(self, name) <= 1, f"judge.{name}", getattr(self, name), "0 to 1")


class FinalScoreJudge:
    """`Judge` by Eq. (1).

    Args:
        similarity: scores the reply against the cloud's reply.
        relevance: scores a reply against the query.
        thresholds: the numbers that belong to the two.
    """

    def __init__(
        self, similarity: SimilarityModel, relevance: RelevanceModel, thresholds: Thresholds = Thresholds()
    ) -> None:
        self._similarity, self._relevance, self.thresholds = similarity, relevance, thresholds
        self.accept_score = thresholds.accept_score

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
        numbers = self.thresholds
        scores = final_score(similarity, relevance, cloud_relevance, numbers.score_alpha, numbers.relevance_floor)
        return [
            Judgement(
                similarity=float(similarity[i]),
                relevance=float(relevance[i]),
                cloud_relevance=float(cloud_relevance[i]),
                final_score=float(scores[i]),
                relevance_trusted=bool(cloud_relevance[i] >= numbers.relevance_floor),
                accepted=bool(scores[i] >= numbers.accept_score),
            )
            for i in range(count)
        ]

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), relevance alone: it needs no cloud reply."""
        return self._relevance.relevance(queries, replies)
