"""The page's table of what the judge is worth on these dialogues."""

from __future__ import annotations

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.formatting import MISSING, count_text, interval_text, value_text
from ecc_fed.reporting.judges import judge_names
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.study import Study

_COLUMNS = (
    "Arm", "Judge", "AUC of similarity", "AUC of relevance", "AUC of the final score", "Human agent's own score",
    "Wrong replies accepted", "ρ with chrF to the human's", "ρ with chrF to the cloud's", "Judged replies",
)  # fmt: skip


def judges(study: Study) -> PageTable | None:
    """A line an arm; None where no reply was judged."""
    rows = []
    for group in study.groups:
        worth = group.judge_worth
        if not worth.judged and worth.human_score is None:
            continue
        areas = (worth.similarity_auc, worth.relevance_auc, worth.score_auc)
        rows.append(
            (
                Cell(group.label),
                Cell(judge_names(group) or MISSING),
                *[_cell(area, "score") for area in areas],
                _cell(worth.human_score, "score"),
                _cell(worth.wrong_accepted, "share"),
                *[Cell(MISSING if rho is None else f"{rho:.2f}") for rho in (worth.chrf_to_human, worth.chrf_to_cloud)],
                Cell(count_text(worth.judged)),
            )
        )
    return PageTable(_COLUMNS, tuple(rows)) if rows else None


def lines(study: Study) -> list[str]:
    """The AUC of each judge in a sentence, for the terminal; arms that judge alike are told by their first."""
    found: dict[tuple[str, float, float], str] = {}
    for group in study.groups:
        worth = group.judge_worth
        if worth.similarity_auc is None or worth.relevance_auc is None:
            continue
        names = judge_names(group)
        text = (
            f"{group.label}: the judge ({names or 'unnamed'}) tells a human agent's reply from that of another "
            f"dialogue with an AUC of {_text(worth.similarity_auc)} by similarity and "
            f"{_text(worth.relevance_auc)} by relevance."
        )
        found.setdefault((names, worth.similarity_auc.mean, worth.relevance_auc.mean), text)
    return list(found.values())


def _text(estimate: Estimate) -> str:
    return " ".join(part for part in (f"{estimate.mean:.2f}", _interval(estimate)) if part)


def _interval(estimate: Estimate) -> str:
    return "" if estimate.low is None or estimate.high is None else f"[{estimate.low:.2f}, {estimate.high:.2f}]"


def _cell(estimate: Estimate | None, unit: str) -> Cell:
    return Cell(value_text(None if estimate is None else estimate.mean, unit), interval_text(estimate, unit))
