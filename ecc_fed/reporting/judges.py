"""Whether the judge of a run could judge: sentences for the page, the console and `summary.json`."""

from __future__ import annotations

from ecc_fed.core.rows import JudgeInfo, RunInfo
from ecc_fed.reporting.formatting import words
from ecc_fed.reporting.study import Group, Study


def judge_notes(info: RunInfo) -> list[str]:
    """Why scores are withheld, and where relevance is left out of them; none of a run that did not say who judged."""
    judge = info.judge
    if judge is None:
        return []
    if judge.withheld_reason is not None:
        return [judge.withheld_reason]
    return [*_left_out(judge), *_unmeasured(judge)]


def study_notes(study: Study) -> list[str]:
    """Each different note of the study's runs, with the first of them that has it."""
    found: dict[str, str] = {}
    for group in study.groups:
        for run in group.runs:
            for note in judge_notes(run.info):
                found.setdefault(note, f"{group.label}, seed {run.seed}")
    return [f"{label}: {note}" for note, label in found.items()]


def judge_names(group: Group) -> str:
    """The similarity and relevance models of the group's runs; empty of runs that did not say who judged."""
    judges = [run.info.judge for run in group.runs if run.info.judge is not None]
    names = (" and ".join(dict.fromkeys(map(_in_words, (each.similarity, each.relevance)))) for each in judges)
    return "; ".join(dict.fromkeys(names))


def _in_words(model: str) -> str:
    """A class, and where its weights lie if it has any."""
    name, _, path = model.partition(" ")
    return f"{words(name)} ({path})" if path else words(name)


def _left_out(judge: JudgeInfo) -> list[str]:
    left_out = [shop.auc for shop in judge.shops.values() if not shop.used and shop.auc is not None]
    if not left_out:
        return []
    low, high = f"{min(left_out):.2f}", f"{max(left_out):.2f}"
    return [
        f"Relevance is left out of the score in {len(left_out)} of {len(judge.shops)} shops: its AUC on their own "
        f"dialogues is {low if low == high else f'{low} to {high}'} "
        f"(judge.relevance_min_auc={judge.relevance_min_auc:g}; 0.5 is a coin's)."
    ]


def _unmeasured(judge: JudgeInfo) -> list[str]:
    few = sum(shop.auc is None for shop in judge.shops.values())
    if not few:
        return []
    return [
        f"Relevance is kept in {few} of {len(judge.shops)} shops without a measurement: their history has too few "
        "dialogues for one."
    ]
