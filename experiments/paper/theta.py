"""score_alpha and Theta of Eq. (1), swept over what the runs recorded.

The score of a given reply is computed again from its recorded similarity and relevances: exact, no
model runs. Which replies count as bad, and so what a shop learns, depends on the values too; that
part comes from runs with other values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from ecc_fed.core.final_score import final_score
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.statistics import bootstrap_auc
from ecc_fed.reporting.formatting import MISSING, number_text
from ecc_fed.reporting.measures import all_right
from ecc_fed.reporting.units import drawn_text, units_of
from experiments.paper.claims import fact_value, shown
from experiments.paper.published import ORIGINAL, SCALE, column_name
from experiments.paper.runs import Column, ColumnKey, Grid, StudyRun, columns_of, load_runs
from experiments.paper.table6 import markdown

ALPHAS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
FLOORS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_PAPER = (0.8, 0.2)
_SEED = 20242


def rescored(score_alpha: float, relevance_floor: float) -> Callable[[SampleRow], float | None]:
    """A row's final score under other values; None where it was never judged."""

    def score(row: SampleRow) -> float | None:
        if row.similarity is None or row.relevance is None or row.cloud_relevance is None:
            return None
        similarity, relevance, cloud = (
            np.array([value], dtype=np.float32) for value in (row.similarity, row.relevance, row.cloud_relevance)
        )
        return float(final_score(similarity, relevance, cloud, score_alpha, relevance_floor)[0])

    return score


def _agreement(columns: Sequence[Column], score: Callable[[SampleRow], float | None]) -> str:
    """Area under the curve of the score against right facts, over all replies of all columns."""
    known = [
        ((key[0], row), value, right)
        for column in columns
        for key, row in sorted(column.rows.items(), key=itemgetter(0))
        if (value := score(row)) is not None and (right := all_right(row)) is not None
    ]
    if not known:
        return MISSING
    rows, values, rights = zip(*known, strict=True)
    return shown(bootstrap_auc(values, rights, units_of(rows), _SEED))


def _sweep(columns: Sequence[Column], pairs: Sequence[tuple[float, float]]) -> str:
    keys = [column.key for column in columns]
    rows = []
    for alpha, floor in pairs:
        score = rescored(alpha, floor)
        grid = Grid(columns, score)
        ratio = grid.ratio(keys[-1], ORIGINAL)
        mark = " (the paper's)" if (alpha, floor) == _PAPER else ""
        means = [shown(grid.mean(key)) for key in keys]
        rows.append([f"{alpha:g}, {floor:g}{mark}", *means, shown(ratio), _agreement(columns, score)])
    names = [column_name(key) for key in keys]
    return markdown(["score_alpha, Theta", *names, f"{names[-1]} / original", "Area against right facts"], rows)


def _known(columns: Sequence[Column]) -> str:
    """How often Theta decides."""
    values = [row.cloud_relevance for column in columns for row in column.rows.values()]
    floors = np.array([value for value in values if value is not None])
    if not len(floors):
        return ""
    shares = [f"{floor:g}: {(floors < floor).mean():.1%}" for floor in FLOORS]
    return f"Share of replies whose score is the similarity alone, by Theta: {', '.join(shares)}.\n"


def _evolved(runs: Sequence[StudyRun]) -> str:
    """Shops that differ in nothing but the values they evolved by, over the seeds that all have; empty for none."""
    found: dict[ColumnKey, dict[tuple[float, float], dict[int, StudyRun]]] = {}
    for run in runs:
        found.setdefault(run.column, {}).setdefault(_values(run), {})[run.run.seed] = run
    rows = []
    for key, of_values in found.items():
        seeds = sorted(set.intersection(*(set(of) for of in of_values.values())))
        if len(of_values) < 2 or not seeds:
            continue
        for values in sorted(of_values, reverse=True):
            chosen = [of_values[values][seed] for seed in seeds]
            column = columns_of(chosen)[-1]
            labels = [row.pseudo_labels for run in chosen for row in run.run.metrics or ()]
            # Scored alike, whatever they evolved by.
            scores, facts = Grid([column], rescored(*_PAPER)), Grid([column], fact_value)
            rows.append([
                column_name(key),
                f"{values[0]:g}, {values[1]:g}",
                str(len(seeds)),
                number_text(sum(labels) / len(labels) if labels else None),
                shown(scores.mean(key)),
                shown(facts.mean(key)),
            ])  # fmt: skip
    if not rows:
        return ""
    head = ["Method", "Evolved by score_alpha, Theta", "Seeds", "Pseudo-labels a shop", "Final score at 0.8, 0.2"]
    return (
        "## Shops that evolved by other values\n\n"
        "The score decides which replies become pseudo-labels, so these were run again; all are scored alike.\n\n"
        + markdown([*head, "Right facts"], rows)
    )


def _values(run: StudyRun) -> tuple[float, float]:
    return float(run.setting("judge.score_alpha")), float(run.setting("judge.relevance_floor"))


def _first_variant(runs: Sequence[StudyRun]) -> list[StudyRun]:
    """The runs that evolved by the paper's values; all of them where none did."""
    chosen = [run for run in runs if (run.setting("judge.score_alpha"), run.setting("judge.relevance_floor")) == _PAPER]
    return chosen or list(runs)


def _page(columns: Sequence[Column], runs: Sequence[StudyRun]) -> str:
    queries = len(Grid(columns, rescored(*_PAPER)).keys)
    return "\n".join([
        "# score_alpha and Theta\n",
        f"{len(columns[0].runs)} seeds, {queries} held-out queries, 95% bootstrap intervals over "
        f"{drawn_text(columns[0].seeded)}.\n",
        "## The same replies, scored by other values\n",
        "Computed again from the recorded similarity and relevances: exact.\n",
        _sweep(columns, [(alpha, _PAPER[1]) for alpha in ALPHAS]),
        _sweep(columns, [(_PAPER[0], floor) for floor in FLOORS]),
        _known(columns),
        _evolved(runs),
    ])  # fmt: skip


@dataclass(frozen=True)
class Theta:
    """The view of study `paper_theta`; one step of its runs stands for `scale` of the paper's."""

    scale: float = SCALE

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Writes `theta.md` for the runs in `directory`; returns its path.

        Raises:
            UserError: no run that fine-tunes.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        runs = [run for run in load_runs(directory, self.scale) if run.run.arm != "none"]
        path = output / "theta.md"
        write_text(path, _page(columns_of(_first_variant(runs)), runs))
        return [path]
