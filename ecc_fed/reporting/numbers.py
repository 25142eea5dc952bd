"""The numbers of a finished run by name and round, as trackers get them.

Names are those of `summary.json` and `metrics.jsonl`. What is told there under a word from outside (a shop's id, a
provider's error) is left out, whatever it is worth: a list of what may pass, not of what may not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecc_fed.core.records import TrackedNumber
from ecc_fed.core.rows import AggregationRow, MetricRow
from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.run import Run

# Of `summary.json`, the parts whose keys are the package's own words at every depth, but for those below.
_PARTS = (
    "evaluation", "serving", "teacher", "traffic", "runtime", "cloud", "judge_fact_correlation", "judge_worth",
    "kneser_ney_perplexity",
)  # fmt: skip
# Below these, keys come from outside.
_FROM_OUTSIDE = ("per_shop", "errors")
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)*")
# Of a row of `metrics.jsonl`: sums over shops and cycles, and means with what weighs them.
_SUMS = (
    "served", "escalated", "unhappy", "pseudo_labels", "natural_pairs", "steps", "teacher_requests", "teacher_cached",
    "teacher_failed", "input_tokens", "output_tokens", "cost_usd", "serve_seconds", "train_seconds",
)  # fmt: skip
_MEANS = {"mean_score": "served", "train_loss": "steps"}
_AGGREGATION = ("relative_error", "rank", "bytes_up", "bytes_down", "server_seconds")


def numbers_of(run: Run, summary: Mapping[str, Any]) -> list[TrackedNumber]:
    """All of them; by round where a round is told, the rest at the last one.

    Args:
        run: its rows.
        summary: what `summary.json` holds of it.
    """
    last = run.info.server_rounds
    found = [
        *_of_rounds(run.metrics or ()),
        *_of_aggregation(run.info.aggregation),
        *(number for part in _PARTS for number in _of_summary(summary.get(part), part, last)),
    ]
    return [number for number in found if math.isfinite(number.value) and _NAME.fullmatch(number.name)]


def _of_rounds(rows: Sequence[MetricRow]) -> Iterator[TrackedNumber]:
    for server_round in sorted({row.server_round for row in rows}):
        of_round = [row for row in rows if row.server_round == server_round]
        for name in _SUMS:
            yield TrackedNumber(f"metrics.{name}", server_round, float(sum(getattr(row, name) for row in of_round)))
        for name, weight in _MEANS.items():
            mean = weighted_mean(
                [getattr(row, name) for row in of_round], [float(getattr(row, weight)) for row in of_round]
            )
            if mean is not None:
                yield TrackedNumber(f"metrics.{name}", server_round, mean)


def _of_aggregation(rows: Sequence[AggregationRow]) -> Iterator[TrackedNumber]:
    for row in rows:
        for name in _AGGREGATION:
            if (value := getattr(row, name)) is not None:
                yield TrackedNumber(f"aggregation.{name}", row.server_round, float(value))


def _of_summary(value: Any, name: str, last: int) -> Iterator[TrackedNumber]:
    """A list holds a number for each round from 1, but for an interval."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _FROM_OUTSIDE:
                yield from _of_summary(item, f"{name}.{key}", last)
    elif isinstance(value, list) and name.startswith("serving."):
        for server_round, item in enumerate(value, start=1):
            yield from _of_summary(item, name, server_round)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield TrackedNumber(name, last, float(value))
