"""Which of the paper's claims hold in a study's runs, said from the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

import numpy as np

from ecc_fed.core.rows import SampleRow
from ecc_fed.core.statistics import (
    Estimate,
    Units,
    bootstrap_auc,
    bootstrap_kappa,
    bootstrap_paired_difference,
    bootstrap_ratios,
    spearman,
)
from ecc_fed.reporting.formatting import MISSING
from ecc_fed.reporting.measures import all_right
from ecc_fed.reporting.units import units_of
from experiments.paper.published import BEST, COLUMNS, COPY, ORIGINAL, QUERIES, column_name, paper_means
from experiments.paper.runs import Column, ColumnKey, Grid

Verdict = Literal["holds", "holds in part", "does not hold", "open", "not measured"]
_FIRST_LORA: ColumnKey = ("lora", 3000)
_SEED = 20241


@dataclass(frozen=True, slots=True)
class Claim:
    """What the paper says, whether it holds here, and the figures behind the verdict."""

    text: str
    verdict: Verdict
    evidence: str


def shown(estimate: Estimate | None, sign: str = "") -> str:
    """A figure to three places with its interval."""
    if estimate is None:
        return MISSING
    mean = f"{estimate.mean:{sign}.3f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def fact_value(row: SampleRow) -> float | None:
    """1 where every fact of the query is right, 0 where one is not; None for a query without facts."""
    right = all_right(row)
    return None if right is None else float(right)


def _above(estimates: Sequence[Estimate | None]) -> Verdict:
    """Of differences that a claim wants above zero."""
    if not estimates or any(estimate is None or estimate.low is None for estimate in estimates):
        return "not measured"
    known = [estimate for estimate in estimates if estimate is not None]
    if all(estimate.low is not None and estimate.low > 0 for estimate in known):
        return "holds"
    if any(estimate.high is not None and estimate.high < 0 for estimate in known):
        return "does not hold"
    return "open"


def _rivals(grid: Grid) -> list[ColumnKey]:
    return [key for key in grid.columns if key[1] == _FIRST_LORA[1] and key != _FIRST_LORA]


def _equal_steps(scores: Grid, facts: Grid) -> Claim:
    rivals = _rivals(scores) if _FIRST_LORA in scores.columns else []
    by_score = [scores.difference(_FIRST_LORA, rival) for rival in rivals]
    lines = [
        f"{column_name(_FIRST_LORA)} minus {column_name(rival)}: final score {shown(difference, '+')}, "
        f"right facts {shown(facts.difference(_FIRST_LORA, rival), '+')}"
        for rival, difference in zip(rivals, by_score, strict=True)
    ]
    return Claim("LoRA is best at equal steps (Table VI, 3,000 steps).", _above(by_score), "; ".join(lines))


def _gain(scores: Grid) -> Claim:
    paper = paper_means()
    six = np.array([query.scores for query in QUERIES])
    best, original = COLUMNS.index(BEST), COLUMNS.index(ORIGINAL)
    theirs = bootstrap_ratios(six[:, best], six[:, original], Units.single(len(six)), _SEED)[0]
    ours = scores.ratio(BEST, ORIGINAL) if BEST in scores.columns else None
    verdict: Verdict = "not measured"
    if ours is not None and ours.low is not None and ours.high is not None:
        verdict = "holds" if ours.low > 1 else "does not hold" if ours.high < 1 else "open"
    printed = f"{paper[BEST]:.3f} / {paper[ORIGINAL]:.3f} = {shown(theirs)}"
    evidence = (
        f"Mean final score of {column_name(BEST)} over the original model's: {shown(ours)} here, over held-out "
        "questions of simulated shops under the embedded judge. The paper's "
        f"{printed} is over its six queries (as is the interval) under SimBERT and RocketQA: other questions and "
        "another judge, so the direction can be compared and the size cannot"
    )
    if COPY in scores.columns:
        evidence += (
            f". {column_name(COPY)}, without any model, over the original model's: "
            f"{shown(scores.ratio(COPY, ORIGINAL))}; {column_name(BEST)} minus it: "
            f"{shown(scores.difference(BEST, COPY) if BEST in scores.columns else None, '+')}"
        )
    else:
        evidence += ". No run here copies the nearest own example, which needs no model and no training"
    return Claim("Fine-tuning by LoRA lifts the final score (0.306 to 0.581, a ratio of 1.90).", verdict, evidence)


def _convergence(scores: Grid, losses: Mapping[ColumnKey, Mapping[tuple[int, str], float]]) -> Claim:
    claim = "LoRA converges faster."
    rivals = [key for key in _rivals(scores) if key in losses]
    if _FIRST_LORA not in losses or not rivals:
        return Claim(claim, "not measured", "No training losses at equal steps.")
    mine, differences, lines = losses[_FIRST_LORA], [], []
    for rival in rivals:
        shops = sorted(set(mine) & set(losses[rival]))
        left, right = ([of[shop] for shop in shops] for of in (losses[rival], mine))
        # A shop has one loss, and no dialogues.
        difference = bootstrap_paired_difference(left, right, Units.single(len(shops)), _SEED)
        differences.append(difference)
        lines.append(
            f"mean training loss over the first {_FIRST_LORA[1]} steps, {column_name(rival)} minus LoRA: "
            f"{shown(difference, '+')} nats a token"
        )
    if BEST in scores.columns:
        early, late = (scores.difference(key, ORIGINAL) for key in (_FIRST_LORA, BEST))
        if early is not None and late is not None and late.mean > 0:
            lines.append(f"at {_FIRST_LORA[1]} steps LoRA has {early.mean / late.mean:.0%} of its gain at {BEST[1]}")
        for rival in rivals:
            gained = scores.difference(rival, ORIGINAL)
            if gained is not None and late is not None and late.mean > 0:
                lines.append(f"{column_name(rival)} has {gained.mean / late.mean:.0%} of that gain")
    return Claim(claim, _above(differences), "; ".join(lines))


def _more_steps(scores: Grid) -> Claim:
    pairs = [
        (key, other)
        for key, other in ((("lora", 5000), ("lora", 3000)), (("lora", 15000), ("lora", 5000)))
        if key in scores.columns and other in scores.columns
    ]
    differences = [scores.difference(*pair) for pair in pairs]
    paper = paper_means()
    lines = [
        f"{column_name(key)} minus {other[1]} steps: {shown(difference, '+')} here, {paper[key] - paper[other]:+.3f} "
        "in the paper"
        for (key, other), difference in zip(pairs, differences, strict=True)
    ]
    return Claim(
        "More LoRA steps score higher (the paper's means fall once, then rise).", _above(differences), "; ".join(lines)
    )


def _review(columns: Sequence[Column], scores: Grid, facts: Grid) -> Claim:
    claim = "The automated score agrees with manual review."
    judged = [
        ((key[0], row), row.final_score, row.accepted, right)
        for column in columns
        for key, row in sorted(column.rows.items(), key=itemgetter(0))
        if row.final_score is not None and row.accepted is not None and (right := all_right(row)) is not None
    ]
    if not judged:
        return Claim(claim, "not measured", "No query has both a score and facts.")
    rows, values, accepted, rights = zip(*judged, strict=True)
    units = units_of(rows)
    kappa = bootstrap_kappa(accepted, rights, units, _SEED)
    auc = bootstrap_auc(values, rights, units, _SEED)
    means = [(scores.mean(key), facts.mean(key)) for key in scores.columns]
    known = [(score.mean, right.mean) for score, right in means if score is not None and right is not None]
    order = spearman([score for score, _ in known], [right for _, right in known])
    verdict: Verdict = "open"
    if kappa is not None and kappa.low is not None and auc is not None and auc.low is not None and auc.high is not None:
        if kappa.low > 0.4 and order is not None and order >= 0.8:
            verdict = "holds"
        elif auc.low > 0.5:
            verdict = "holds in part"
        elif auc.high < 0.5:
            verdict = "does not hold"
    return Claim(
        claim,
        verdict,
        f"Facts known to the simulator stand in for the reviewer. Over {len(judged)} replies of all columns: Cohen's "
        f"kappa of accepted and right {shown(kappa)}, area under the curve of the score against right {shown(auc)}; "
        f"over the {len(known)} columns, Spearman's rho of mean score and right facts "
        f"{MISSING if order is None else f'{order:.2f}'}. It counts as holding from a kappa above 0.4 (moderate) and "
        "a rho from 0.8, in part where the area is above 0.5",
    )


def claims(
    columns: Sequence[Column], scores: Grid, facts: Grid, losses: Mapping[ColumnKey, Mapping[tuple[int, str], float]]
) -> tuple[Claim, ...]:
    """Every claim with its verdict.

    Args:
        columns: of Table VI.
        scores: final scores of the test queries.
        facts: 1 or 0 for right facts.
        losses: column -> (seed, shop) -> mean training loss.
    """
    return (
        _equal_steps(scores, facts),
        _convergence(scores, losses),
        _gain(scores),
        _more_steps(scores),
        _review(columns, scores, facts),
    )
