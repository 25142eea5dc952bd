"""What a run's judge is worth on the dialogues at hand, by the replies whose worth is known without it.

The human agent's own reply is right, and that of another dialogue answers something else: a judge that cannot tell the
two apart can tell nothing of the model's replies either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.rows import SampleRow
from ecc_fed.core.statistics import Estimate, bootstrap_auc, bootstrap_mean, spearman
from ecc_fed.reporting.measures import all_right
from ecc_fed.reporting.units import SeededRow, units_of

Value = Callable[[SampleRow], float | None]


@dataclass(frozen=True)
class JudgeWorth:
    """Figures of one judge on one set of rows; None where there are no rows to tell.

    Attributes:
        similarity_auc, relevance_auc, score_auc: chance that a human agent's reply gets more than that of another
            dialogue to the same query.
        human_score: final score of the human agents' own replies.
        wrong_accepted: share of the replies with a wrong fact that were accepted.
        chrf_to_human, chrf_to_cloud: Spearman's rho of the judge with two measures that know no judge: of its final
            score with chrF against the human reply, of its similarity with chrF against the cloud's.
        judged: replies of the shops' own that the last three rest on at most.
    """

    similarity_auc: Estimate | None
    relevance_auc: Estimate | None
    score_auc: Estimate | None
    human_score: Estimate | None
    wrong_accepted: Estimate | None
    chrf_to_human: float | None
    chrf_to_cloud: float | None
    judged: int


def judge_worth(
    own: Sequence[SeededRow], human: Sequence[SeededRow], other: Sequence[SeededRow], seed: int
) -> JudgeWorth:
    """Args: the shops' own final replies, the human agents', those of other dialogues; the draws' seed."""
    area = partial(_area, human, other, seed)
    judged = [(number, row) for number, row in own if row.final_score is not None]
    chrf = CHRF()
    return JudgeWorth(
        similarity_auc=area(lambda row: row.similarity),
        relevance_auc=area(lambda row: row.relevance),
        score_auc=area(lambda row: row.final_score),
        human_score=_mean(human, lambda row: row.final_score, seed),
        wrong_accepted=_mean(judged, _accepted_though_wrong, seed),
        chrf_to_human=_agreement(judged, lambda row: row.final_score, lambda row: row.chrf),
        chrf_to_cloud=_agreement(judged, lambda row: row.similarity, lambda row: _chrf_to_cloud(row, chrf)),
        judged=len(judged),
    )


def _accepted_though_wrong(row: SampleRow) -> float | None:
    return None if row.accepted is None or all_right(row) is not False else float(row.accepted)


def _chrf_to_cloud(row: SampleRow, chrf: CHRF) -> float | None:
    return None if row.cloud_reply is None else float(chrf.sentence_score(row.reply, [row.cloud_reply]).score)


def _known(rows: Sequence[SeededRow], of: Value) -> tuple[list[SeededRow], list[float]]:
    found = [(row, value) for row in rows if (value := of(row[1])) is not None]
    return [row for row, _ in found], [value for _, value in found]


def _area(human: Sequence[SeededRow], other: Sequence[SeededRow], seed: int, of: Value) -> Estimate | None:
    right, high = _known(human, of)
    wrong, low = _known(other, of)
    if not right or not wrong:
        return None
    verdicts = [True] * len(right) + [False] * len(wrong)
    return bootstrap_auc([*high, *low], verdicts, units_of([*right, *wrong]), seed)


def _mean(rows: Sequence[SeededRow], of: Value, seed: int) -> Estimate | None:
    known, values = _known(rows, of)
    return bootstrap_mean(values, units_of(known), seed) if known else None


def _agreement(rows: Sequence[SeededRow], left: Value, right: Value) -> float | None:
    pairs = [(a, b) for _, row in rows if (a := left(row)) is not None and (b := right(row)) is not None]
    return spearman([a for a, _ in pairs], [b for _, b in pairs])
