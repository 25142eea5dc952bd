"""`summary.json` (schema 2) from a run's rows: the contract for reports and for other tools.

The same rows give the same bytes: draws come from the run's seed, rows are taken in sorted order,
and figures are rounded to six significant digits, so that the order in which a machine adds
floats does not show.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecc_fed.core.rows import SCHEMA, MetricRow, Phase, SampleRow, encode
from ecc_fed.core.run_directory import RunDirectory, write_json
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, bootstrap_correlation, bootstrap_mean, spearman, weighted_mean
from ecc_fed.reporting.measures import MEASURES, all_right, estimate_all, means
from ecc_fed.reporting.rows import Flow, Run, load_run

# Of the run itself, by the keys of `run.json`.
_TOLD = (
    "arm", "seed", "shops", "server_rounds", "cycles", "personal_rounds", "corpus", "language", "platform_share",
    "runtime", "privacy", "failures", "aggregation", "versions",
)  # fmt: skip
PHASES: tuple[Phase, Phase] = ("base", "final")
# What is counted, by its name here.
_TEACHER: Mapping[str, Callable[[MetricRow], float]] = {
    "requests": lambda row: row.teacher_requests,
    "cached": lambda row: row.teacher_cached,
    "failed": lambda row: row.teacher_failed,
    "input_tokens": lambda row: row.input_tokens,
    "output_tokens": lambda row: row.output_tokens,
    "cost_usd": lambda row: row.cost_usd,
}
# Ledger (destination, direction) -> key. Whatever goes to the aggregator is adapter traffic.
TRAFFIC_KEYS = {
    ("aggregator", "up"): "adapter_up_bytes",
    ("aggregator", "down"): "adapter_down_bytes",
    ("cloud_teacher", "up"): "teacher_up_bytes",
    ("cloud_teacher", "down"): "teacher_down_bytes",
}
# What was asked only to score test replies stands apart: it is no cost of the arm.
EVALUATION_KEYS = {"up": "evaluation_up_bytes", "down": "evaluation_down_bytes"}


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


def _evaluation(rows: Sequence[SampleRow], seed: int) -> dict[str, Any]:
    estimates, shops = estimate_all(rows, seed), by_shop(rows)
    result: dict[str, Any] = {}
    for measure in MEASURES:
        estimate = estimates[measure.name]
        result[measure.name] = estimate and {
            "mean": estimate.mean,
            "ci95": _interval(estimate),
            "per_shop": {shop: x for shop, of in shops.items() if (x := of[measure.name]) is not None},
        }
    return result


def judge_fact_correlation(rows: Sequence[SampleRow], seed: int) -> dict[str, Any] | None:
    """How far the judge's final score and the judge-free facts point the same way, over queries with both.

    Returns:
        Pearson's r with its interval, Spearman's rho and the number of queries; None for fewer
        than three queries, or where score or correctness never varies.
    """
    points = [(row.final_score, all_right(row)) for row in rows]
    known = [(score, float(right)) for score, right in points if score is not None and right is not None]
    scores, rights = [score for score, _ in known], [right for _, right in known]
    estimate = bootstrap_correlation(scores, rights, seed) if known else None
    if estimate is None:
        return None
    return {
        "pearson": estimate.mean,
        "ci95": _interval(estimate),
        "spearman": spearman(scores, rights),
        "queries": estimate.n,
    }


def _stream_rounds(run: Run) -> list[list[MetricRow]]:
    """Stream rows by server round, from round 1 to the last one that has rows."""
    rows = [row for row in run.metrics or () if row.split == "stream" and row.server_round >= 1]
    last = max((row.server_round for row in rows), default=0)
    return [
        sorted((row for row in rows if row.server_round == server_round), key=lambda row: row.shop_id)
        for server_round in range(1, last + 1)
    ]


def serving(run: Run) -> dict[str, list[float | None]]:
    """Escalated / served, and the mean score weighted by queries served: a number per server round from 1."""
    rates: list[float | None] = []
    scores: list[float | None] = []
    for rows in _stream_rounds(run):
        served = sum(row.served for row in rows)
        rates.append(sum(row.escalated for row in rows) / served if served else None)
        scores.append(weighted_mean([row.mean_score for row in rows], [float(row.served) for row in rows]))
    return {"escalation_rate": rates, "mean_score": scores}


def escalation(runs: Sequence[Run], *, last: bool, seed: int) -> Estimate | None:
    """The escalation rate of the first or last server round over the queries of all runs, with its interval."""
    ones = total = 0
    for run in runs:
        rounds = _stream_rounds(run)
        rows = rounds[-1 if last else 0] if rounds else []
        ones += sum(row.escalated for row in rows)
        total += sum(row.served for row in rows)
    # A query escalates or not, so the counts are the queries.
    return bootstrap_mean(np.arange(total) < ones, seed)


def teacher(run: Run) -> dict[str, float | int | None]:
    """Requests, tokens and cost over all rounds and shops; None where no row tells."""
    return {key: sum(map(of, run.metrics)) if run.metrics else None for key, of in _TEACHER.items()}


def traffic(run: Run) -> dict[str, int | None]:
    """Bytes by destination and direction, evaluation apart; None where there is no ledger."""
    totals: dict[str, int | None] = dict.fromkeys([*TRAFFIC_KEYS.values(), *EVALUATION_KEYS.values()])
    if run.traffic is None:
        return totals
    for key in totals:
        totals[key] = sum(num_bytes for flow, (num_bytes, _) in run.traffic.items() if _traffic_key(flow) == key)
    return totals


def _traffic_key(flow: Flow) -> str | None:
    if flow.evaluation:
        return EVALUATION_KEYS[flow.direction]
    return TRAFFIC_KEYS.get((flow.destination, flow.direction))


def bigram(run: Run) -> dict[str, Any] | None:
    """The smoothed character bigram's perplexity per shop, and over all test characters."""
    known = {shop: x for shop, x in run.info.bigram_perplexity.items() if x is not None and x > 0}
    if not known:
        return None
    rows = run.rows("final") or run.rows("base")
    characters = [float(sum(row.characters or 0 for row in rows if row.shop_id == shop)) for shop in known]
    logs = [float(np.log(x)) for x in known.values()]
    # Where no characters are known every shop counts alike.
    mean = weighted_mean(logs, characters) if sum(characters) else weighted_mean(logs, [1.0] * len(logs))
    return {"mean": None if mean is None else float(np.exp(mean)), "per_shop": known}


def summarise_run(run: Run) -> dict[str, Any]:
    """The summary of a loaded run, as `summary.json` holds it."""
    info = encode(run.info)
    phases = {phase: run.rows(phase) for phase in PHASES}
    correlations: dict[str, list[SampleRow]] = {
        **{str(phase): rows for phase, rows in phases.items()},
        "both": [row for rows in phases.values() for row in rows],
    }
    summary = {
        "schema": SCHEMA,
        **{key: info[key] for key in _TOLD},
        "evaluation": {
            phase: _evaluation(rows, derive_seed(run.seed, "summary", phase)) for phase, rows in phases.items()
        },
        "serving": serving(run),
        "teacher": teacher(run),
        "traffic": traffic(run),
        "judge_fact_correlation": {
            name: judge_fact_correlation(rows, derive_seed(run.seed, "summary", "correlation", name))
            for name, rows in correlations.items()
        },
        "bigram_perplexity": bigram(run),
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
