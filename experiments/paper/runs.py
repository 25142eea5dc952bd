"""The runs of a study by method and steps, and figures over queries that every column answered.

Intervals draw the shops of all seeds, (seed, shop), and dialogues within them: replies of one shop come from one
fine-tuning and hang together. They speak of other shops, not of other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ecc_fed.core.errors import RunDirectoryError, UserError
from ecc_fed.core.rows import Phase, SampleRow
from ecc_fed.core.statistics import Estimate, Values, bootstrap_mean, bootstrap_paired_difference, bootstrap_ratios
from ecc_fed.reporting.run import Run, load_run
from ecc_fed.reporting.study import find_runs
from ecc_fed.reporting.units import QueryKey, SeededRow, seeded, units_of
from experiments.paper.published import COLUMNS, COPY, ORIGINAL, SCALE, paper_steps

ColumnKey = tuple[str, int]
_SEED = 20240


@dataclass(frozen=True)
class StudyRun:
    """A finished run with its resolved config; one step of it stands for `scale` of the paper's."""

    run: Run
    config: Mapping[str, Any]
    scale: float

    def setting(self, name: str) -> Any:
        """The value of GROUP.KEY.

        Raises:
            RunDirectoryError: the config has none.
        """
        value: Any = self.config
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise RunDirectoryError(f"{self.run.directory.config}: {name} is missing; run the study again")
            value = value[part]
        return value

    @property
    def column(self) -> ColumnKey:
        """Method and the paper's steps that the run stands for; the copy has none."""
        if self.run.arm == "retrieval":
            return COPY
        return str(self.setting("adapter.method")), paper_steps(int(self.setting("finetune.steps")), self.scale)


def load_runs(directory: Path, scale: float = SCALE) -> list[StudyRun]:
    """The finished runs in `directory`, by path.

    Raises:
        UserError: there is none.
        RunDirectoryError: a run's file is broken.
    """
    loaded = []
    for path in find_runs([directory])[0]:
        run = load_run(path)
        try:
            config = yaml.safe_load(run.config or "")
        except yaml.YAMLError as error:
            raise RunDirectoryError(f"{run.directory.config}: not YAML ({error}); run the study again") from error
        if not isinstance(config, dict):
            raise RunDirectoryError(f"{run.directory.config}: missing or empty; run the study again")
        loaded.append(StudyRun(run, config, scale))
    return loaded


@dataclass(frozen=True)
class Column:
    """One column of Table VI: what answered, in which runs, before or after fine-tuning."""

    key: ColumnKey
    phase: Phase
    runs: tuple[StudyRun, ...]

    @cached_property
    def rows(self) -> dict[QueryKey, SampleRow]:
        """Test queries of all seeds."""
        return {(r.run.seed, row.shop_id, row.pair_id): row for r in self.runs for row in r.run.rows(self.phase)}

    @property
    def seeded(self) -> list[SeededRow]:
        """The test queries with their seeds."""
        return seeded(self.rows)

    @cached_property
    def extra(self) -> dict[QueryKey, SampleRow]:
        """The extra queries of all seeds."""
        return {(r.run.seed, row.shop_id, row.pair_id): row for r in self.runs for row in r.run.extra_rows(self.phase)}


# What all runs of a study share, but for seed, method, steps and the values of the score.
_ONE_STUDY = ("corpus", "partition", "end_model", "decoding", "teacher")


def columns_of(runs: Sequence[StudyRun]) -> tuple[Column, ...]:
    """The runs as columns: the bare base, the copy where it was run, then the paper's; the base is the next column's.

    Raises:
        UserError: no seed was run by all columns, no run fine-tunes, or two runs of a column and seed are not of
            the same study.
    """
    found: dict[ColumnKey, dict[int, StudyRun]] = {}
    for run in runs:
        if run.run.arm == "none":
            continue
        of_seed = found.setdefault(run.column, {})
        other = of_seed.setdefault(run.run.seed, run)
        differs = [name for name in _ONE_STUDY if other.config.get(name) != run.config.get(name)]
        if differs:
            raise UserError(
                f"{other.run.directory.root} and {run.run.directory.root} differ in {differs[0]}: give a folder with "
                "the runs of one study alone."
            )
    if not set(found) - {COPY}:
        raise UserError("No run of this folder fine-tunes: there is nothing to compare.")
    known = (COPY, *COLUMNS)
    order = [key for key in known if key in found] + sorted(key for key in found if key not in known)
    seeds = {key: sorted(of) for key, of in found.items()}
    common = set.intersection(*(set(of) for of in seeds.values()))
    if not common:
        raise UserError(f"No seed was run by all of {', '.join(map(str, order))}: let the study finish.")
    tuned = [Column(key, "final", tuple(found[key][seed] for seed in sorted(common))) for key in order]
    return (Column(ORIGINAL, "base", tuned[0].runs), *tuned)


class Grid:
    """One value a query and column, over the queries that have one in every column.

    Args:
        columns: what to compare.
        value: a row's value, or None where it has none.
        extra: take the extra queries in place of the test queries.
    """

    def __init__(
        self, columns: Sequence[Column], value: Callable[[SampleRow], float | None], *, extra: bool = False
    ) -> None:
        rows = [column.extra if extra else column.rows for column in columns]
        keys = sorted(set.intersection(*(set(of) for of in rows)))
        cells = {key: [value(of[key]) for of in rows] for key in keys}
        self.keys = [key for key in keys if all(cell is not None for cell in cells[key])]
        self.columns = [column.key for column in columns]
        # (queries, columns)
        self.values: Values = np.array([cells[key] for key in self.keys], dtype=np.float64).reshape(-1, len(columns))
        self.units = units_of([(key[0], rows[0][key]) for key in self.keys])

    def _column(self, column: ColumnKey) -> Values:
        return self.values[:, self.columns.index(column)]

    def mean(self, column: ColumnKey) -> Estimate | None:
        """The column's mean over queries."""
        return bootstrap_mean(self._column(column), self.units, _SEED)

    def difference(self, left: ColumnKey, right: ColumnKey) -> Estimate | None:
        """Mean of left minus mean of right, paired by query."""
        return bootstrap_paired_difference(self._column(left), self._column(right), self.units, _SEED)

    def ratio(self, left: ColumnKey, right: ColumnKey) -> Estimate | None:
        """Mean of left over mean of right, paired by query."""
        return bootstrap_ratios(self._column(left), self._column(right), self.units, _SEED)[0]

    def of_query(self, pair_id: str, column: ColumnKey) -> float | None:
        """The mean of one extra query over shops and seeds."""
        chosen = [index for index, key in enumerate(self.keys) if key[2] == pair_id]
        return float(self.values[chosen, self.columns.index(column)].mean()) if chosen else None
