"""Who judged a run, and whether it could: a part of `run.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ShopRelevance:
    """What the relevance model is worth on one shop's own dialogues.

    Attributes:
        auc: chance that it gives the shop's own reply more than the reply of another dialogue to the same query, ties
            counting half; None where it was not measured.
        pairs: queries that it was measured on.
        used: whether the shop's score holds relevance; without it the score is the similarity alone.
    """

    auc: float | None
    pairs: int
    used: bool


@dataclass(frozen=True, slots=True)
class JudgeInfo:
    """The judge of a run.

    Attributes:
        similarity, relevance: the models' classes, with the paths of their weights.
        languages: what they read; None: any.
        corpus_language: of the dialogues; None where nobody knows.
        withheld_reason: why no reply was scored; None where replies were.
        relevance_min_auc: below it a shop leaves relevance out; 0 measures nothing.
        shops: by shop, what relevance is worth there; a shop that judged nothing is not in it.
    """

    similarity: str
    relevance: str
    languages: tuple[str, ...] | None
    corpus_language: str | None
    withheld_reason: str | None
    relevance_min_auc: float
    shops: Mapping[str, ShopRelevance] = field(default_factory=dict)
