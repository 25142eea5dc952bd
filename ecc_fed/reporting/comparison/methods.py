"""How far each way to aggregate is from the mean of the shops' s B A, and what it sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import AggregationRow
from ecc_fed.core.shipped import choice_name
from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.sweep import read_config

# Below it an error is that of fp32 numbers alone.
EXACT = 1e-5


@dataclass(frozen=True)
class MethodFigures:
    """One arm's aggregation. None where no row tells.

    Attributes:
        errors: server round -> relative error, mean over seeds.
        rank: of the server's adapter in the last round, mean over seeds.
        ranks: least and most of the shops' uploads.
        bytes_up, bytes_down: of all shops in a round, means over rounds and seeds.
        server_seconds: of the aggregator in a round, mean over rounds and seeds.
    """

    group: Group
    method: str
    errors: dict[int, float]
    rank: float | None
    ranks: tuple[int, int] | None
    bytes_up: float | None
    bytes_down: float | None
    server_seconds: float | None

    @property
    def worst(self) -> float | None:
        """The largest error of a round."""
        return max(self.errors.values(), default=None)

    @property
    def mean(self) -> float | None:
        """Mean error over rounds."""
        return weighted_mean(list(self.errors.values()))

    @property
    def last(self) -> float | None:
        """The last round's error."""
        return self.errors[max(self.errors)] if self.errors else None

    @property
    def exact(self) -> bool | None:
        """Whether every round's aggregate was the mean of s B A, as far as fp32 goes."""
        return None if self.worst is None else self.worst < EXACT


def method_name(run: Run) -> str:
    """The strategy, and of one that wraps another the other too; empty where the config does not tell."""
    config = read_config(run)
    return _names(config.get("strategy") if isinstance(config, dict) else None)


def _names(node: object) -> str:
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        return ""
    name = choice_name(str(node["_target_"]))
    inner = _names(node.get("mean"))
    return f"{name} of {inner}" if inner else name


def method_figures(study: Study) -> list[MethodFigures]:
    """A record for every arm that aggregated."""
    return [_figures(group) for group in study.groups if group.aggregates]


def _figures(group: Group) -> MethodFigures:
    runs = [run.info.aggregation for run in group.runs if run.info.aggregation]
    by_round: dict[int, list[AggregationRow]] = {}
    for rows in runs:
        for row in rows:
            by_round.setdefault(row.server_round, []).append(row)
    errors = {number: weighted_mean([row.relative_error for row in rows]) for number, rows in sorted(by_round.items())}
    everyone = [row for rows in runs for row in rows]
    ranks = [rank for row in everyone for rank in row.ranks.values()]
    return MethodFigures(
        group=group,
        method=method_name(group.runs[0]),
        errors={number: error for number, error in errors.items() if error is not None},
        rank=_mean([rows[-1].rank for rows in runs]),
        ranks=(min(ranks), max(ranks)) if ranks else None,
        bytes_up=_mean([row.bytes_up for row in everyone]),
        bytes_down=_mean([row.bytes_down for row in everyone]),
        server_seconds=_mean([row.server_seconds for row in everyone]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    return weighted_mean(values)
