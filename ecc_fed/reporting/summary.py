"""`summary.json` (schema 5) from a run's rows: the contract for reports and for other tools.

The same rows give the same bytes: draws come from the run's seed, rows are taken in sorted order,
and figures are rounded to six significant digits, so that the order in which a machine adds
floats does not show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ecc_fed.core.rows import Phase, SampleRow, encode
from ecc_fed.core.run_directory import RunDirectory, write_json
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, bootstrap_correlation, spearman
from ecc_fed.reporting.counts import kneser_ney, serving, teacher, traffic
from ecc_fed.reporting.coverage import unlike_phases
from ecc_fed.reporting.judge_worth import judge_worth
from ecc_fed.reporting.judges import judge_notes
from ecc_fed.reporting.measures import MEASURES, all_right, estimate_all, means
from ecc_fed.reporting.run import Run, load_run
from ecc_fed.reporting.units import SeededRow, units_of

# Of this file alone; the rows behind it have their own. 2: `runtime.shops_per_batch` was called `cohort` before.
# 3: what an interval drew stands beside it; `kneser_ney_perplexity` in place of `bigram_perplexity`.
# 4: `evaluation.teacher` and `evaluation.human`, of others' replies to the same queries.
# 5: `judge`, who judged and whether it could; `judge_worth`, what it is worth on these dialogues.
SCHEMA = 5
# Of the run itself, by the keys of `run.json`.
_TOLD = (
    "arm", "seed", "shops", "server_rounds", "cycles", "personal_rounds", "corpus", "language", "platform_share",
    "runtime", "privacy", "failures", "versions", "cloud", "judge",
)  # fmt: skip
_CLOCK = "server_seconds"
PHASES: tuple[Phase, Phase] = ("base", "final")
_EVALUATED: tuple[Phase, ...] = (*PHASES, "teacher", "human")


def _rounded(value: Any) -> Any:
    """Floats to six significant digits, through lists and mappings."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _interval(estimate: Estimate) -> list[float] | None:
    return None if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]


def by_shop(rows: Sequence[SampleRow]) -> dict[str, dict[str, float | None]]:
    """Every measure's mean for every shop that has rows."""
    shops = sorted({row.shop_id for row in rows})
    return {shop: means([row for row in rows if row.shop_id == shop]) for shop in shops}


def _evaluation(run: Run, rows: Sequence[SampleRow], seed: int) -> dict[str, Any]:
    estimates, shops = estimate_all([(run.seed, row) for row in rows], seed), by_shop(rows)
    result: dict[str, Any] = {}
    for measure in MEASURES:
        estimate = estimates[measure.name]
        result[measure.name] = estimate and {
            "mean": estimate.mean,
            "ci95": _interval(estimate),
            "shops": estimate.shops,
            "dialogues": estimate.dialogues,
            "per_shop": {shop: x for shop, of in shops.items() if (x := of[measure.name]) is not None},
        }
    return result


def judge_fact_correlation(rows: Sequence[SeededRow], seed: int) -> dict[str, Any] | None:
    """How far the judge's final score and the judge-free facts point the same way, over queries with both.

    Returns:
        Pearson's r with its interval, Spearman's rho and the number of queries; None for fewer
        than three queries, or where score or correctness never varies.
    """
    points = [(row.final_score, all_right(row)) for _, row in rows]
    known = [
        (place, score, float(right))
        for place, (score, right) in enumerate(points)
        if score is not None and right is not None
    ]
    scores, rights = [score for _, score, _ in known], [right for _, _, right in known]
    units = units_of(rows).take([place for place, _, _ in known])
    estimate = bootstrap_correlation(scores, rights, units, seed) if known else None
    if estimate is None:
        return None
    return {
        "pearson": estimate.mean,
        "ci95": _interval(estimate),
        "spearman": spearman(scores, rights),
        "queries": estimate.n,
    }


def _judge_worth(run: Run) -> dict[str, Any]:
    """As `JudgeWorth`, a figure with an interval as its mean, interval and number of replies."""
    own, human, other = ([(run.seed, row) for row in run.rows(phase)] for phase in ("final", "human", "other"))
    worth = judge_worth(own, human, other, derive_seed(run.seed, "summary", "judge"))
    told = {field.name: getattr(worth, field.name) for field in fields(worth)}
    return {
        name: {"mean": value.mean, "ci95": _interval(value), "replies": value.n}
        if isinstance(value, Estimate)
        else value
        for name, value in told.items()
    }


def summarise_run(run: Run) -> dict[str, Any]:
    """The summary of a loaded run, as `summary.json` holds it."""
    info, reading = encode(run.info), run.info.reading
    phases = {phase: run.rows(phase) for phase in PHASES}
    correlations: dict[str, list[SeededRow]] = {
        str(phase): [(run.seed, row) for row in rows] for phase, rows in phases.items()
    }
    correlations["both"] = [row for rows in correlations.values() for row in rows]
    summary = {
        "schema": SCHEMA,
        **{key: info[key] for key in _TOLD},
        # All that a clock says stands under `runtime`.
        "aggregation": [{key: value for key, value in row.items() if key != _CLOCK} for row in info["aggregation"]],
        "evaluation": {
            phase: _evaluation(run, run.rows(phase), derive_seed(run.seed, "summary", phase)) for phase in _EVALUATED
        },
        "serving": serving(run),
        "teacher": teacher(run),
        "traffic": traffic(run),
        "flagged_updates": None if run.updates is None else [encode(row) for row in run.flagged],
        "judge_fact_correlation": {
            name: judge_fact_correlation(rows, derive_seed(run.seed, "summary", "correlation", name))
            for name, rows in correlations.items()
        },
        "judge_worth": _judge_worth(run),
        "kneser_ney_perplexity": kneser_ney(run),
        "notes": [
            *judge_notes(run.info),
            *unlike_phases(run),
            *([reading.order] if reading is not None and reading.order else []),
        ],
    }
    return dict(_rounded(summary))


def summarise(run_dir: Path) -> dict[str, Any]:
    """The summary of the run in `run_dir`.

    Raises:
        RunDirectoryError: no finished run lies there, or a row is broken; names file and row.
    """
    return summarise_run(load_run(Path(run_dir)))


def write_summary(run_dir: Path) -> Path:
    """Writes `summary.json` beside the rows, whole or not at all, and returns its path.

    Raises:
        RunDirectoryError: as `summarise`; or the folder cannot be written.
    """
    path = RunDirectory(Path(run_dir)).summary
    write_json(path, summarise(run_dir))
    return path
