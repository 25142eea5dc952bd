"""What the cards report: areas under the ROC curve on held-out surface forms and values."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, pairwise

import numpy as np

from ecc_fed.core.records import Array
from ecc_fed.corpus.simulator.public import query_contrasts, reply_contrasts
from ecc_fed.judging.relevance import CrossEncoderRelevance
from ecc_fed.judging.similarity import EncoderSimilarity


def auc(positive: Array, negative: Array) -> float:
    """P(a positive scores above a negative), ties count half (Mann-Whitney)."""
    both = np.concatenate([positive, negative])
    _, rank_group, counts = np.unique(both, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # ranks from 1
    rank_sum = mean_rank[rank_group][: len(positive)].sum()
    return float((rank_sum - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def similarity_measures(folder: str, seed: int, held_out: bool, count: int = 2000) -> dict[str, float]:
    """AUCs of a similarity folder against both kinds of negatives, and quantiles that thresholds rest on."""
    model = EncoderSimilarity(folder, "mean")
    rows = list(islice(reply_contrasts(seed, held_out), count))
    anchors = [row.anchor for row in rows]
    same = model.similarity(anchors, [row.same_meaning for row in rows])
    wrong = model.similarity(anchors, [row.wrong_value for row in rows])
    other = model.similarity(anchors, [row.other_content for row in rows])
    return {
        "AUC against other content of the same shop": auc(same, other),
        "AUC against the same form with a wrong value": auc(same, wrong),
        **_quantiles("same meaning", same),
        **_quantiles("wrong value", wrong),
        **_quantiles("other content", other),
    }


def relevance_measures(folder: str, seed: int, held_out: bool, count: int = 2000) -> dict[str, float]:
    """AUC of a relevance folder against replies to other questions of the same shop."""
    model = CrossEncoderRelevance(folder, "sigmoid")
    rows = list(islice(query_contrasts(seed, held_out), count))
    right = model.relevance(
        [q for row in rows for q in (row.query, row.paraphrase)], [row.reply for row in rows for _ in range(2)]
    )
    wrong = model.relevance(
        [row.query for row in rows for _ in row.other_replies], [reply for row in rows for reply in row.other_replies]
    )
    return {
        "AUC against replies to other questions of the same shop": auc(right, wrong),
        **_quantiles("right reply", right),
        **_quantiles("other reply", wrong),
    }


def question_measures(folder: str, seed: int, held_out: bool, count: int = 2000) -> dict[str, float]:
    """AUC of a paraphrase against a question of another intent, and of a reply against a reply to another question."""
    model = EncoderSimilarity(folder, "mean")
    rows = list(islice(query_contrasts(seed, held_out), count))
    pairs = [(row, other) for row, other in pairwise(rows) if row.intent != other.intent]
    queries = [row.query for row, _ in pairs]
    paraphrase = model.similarity(queries, [row.paraphrase for row, _ in pairs])
    question = model.similarity(queries, [other.query for _, other in pairs])
    reply = model.similarity(queries, [row.reply for row, _ in pairs])
    other_reply = model.similarity(queries, [row.other_replies[0] for row, _ in pairs])
    return {
        "AUC of a paraphrase against another question": auc(paraphrase, question),
        "AUC of the reply against a reply to another question": auc(reply, other_reply),
    }


def _quantiles(name: str, scores: Array, levels: Iterable[float] = (0.1, 0.5, 0.9)) -> dict[str, float]:
    return {f"{name}, quantile {level:g}": float(np.quantile(scores, level)) for level in levels}
