"""Every shop's adapter on every shop's queries: the matrix, its files and its picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.rows import CrossRow, SampleRow, read_rows
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Values, bootstrap_ratios
from ecc_fed.reporting.comparison.figures.matrix import MAX_SHOPS, heat_figure
from ecc_fed.reporting.comparison.worlds import FACTS
from ecc_fed.reporting.formatting import estimate_text
from ecc_fed.reporting.measures import BY_NAME, Measure
from ecc_fed.reporting.tables.export import text_cell
from ecc_fed.reporting.units import units_of

CROSS_MEASURES = (FACTS, BY_NAME["fact_accuracy"], BY_NAME["platform_fact_accuracy"], BY_NAME["chrf"])


@dataclass(frozen=True)
class CrossMatrix:
    """Replies by (shop whose adapter answers, shop that is asked)."""

    rows: Mapping[tuple[str, str], Sequence[SampleRow]]

    @property
    def shops(self) -> list[str]:
        """All shops, sorted."""
        return sorted({shop for pair in self.rows for shop in pair})

    def cell(self, adapter_of: str, asked: str, measure: Measure) -> Estimate | None:
        """One figure, its interval over the dialogues of the shop that is asked."""
        seed = derive_seed(0, "report", "cross", adapter_of, asked, measure.name)
        return _ratio(self.rows.get((adapter_of, asked), ()), measure, seed)

    def at_home(self, measure: Measure) -> Estimate | None:
        """Over all shops asked by their own adapters."""
        own = [row for (adapter_of, asked), rows in self.rows.items() if adapter_of == asked for row in rows]
        return _ratio(own, measure, derive_seed(0, "report", "cross", "home", measure.name))

    def elsewhere(self, measure: Measure) -> Estimate | None:
        """Over all shops asked by the others' adapters; its interval draws the shops that are asked."""
        others = [row for (adapter_of, asked), rows in self.rows.items() if adapter_of != asked for row in rows]
        return _ratio(others, measure, derive_seed(0, "report", "cross", "elsewhere", measure.name))

    @property
    def measures(self) -> list[Measure]:
        """Those that some reply has."""
        return [m for m in CROSS_MEASURES if any(m.fraction(row) for rows in self.rows.values() for row in rows)]


def _ratio(rows: Sequence[SampleRow], measure: Measure, seed: int) -> Estimate | None:
    fractions = [measure.fraction(row) or (0.0, 0.0) for row in rows]
    if not fractions:
        return None
    parts = np.array(fractions, dtype=np.float64)
    return bootstrap_ratios(parts[:, 0], parts[:, 1], units_of([(0, row) for row in rows]), seed)[0]


def load_cross(directory: RunDirectory) -> CrossMatrix:
    """The rows in the run.

    Raises:
        RunDirectoryError: they are missing or broken.
    """
    found: dict[tuple[str, str], list[SampleRow]] = {}
    for row in read_rows(directory.cross / "rows.jsonl", CrossRow):
        found.setdefault((row.adapter_of, row.sample.shop_id), []).append(row.sample)
    return CrossMatrix(found)


def write_cross(directory: RunDirectory) -> list[str]:
    """Writes `cross.csv`, and of every measure its matrix as CSV and SVG, beside the rows.

    Returns:
        Lines for the terminal: what adapters are worth at home and elsewhere.
    """
    matrix = load_cross(directory)
    write_text(directory.cross / "cross.csv", _long(matrix))
    for measure in matrix.measures:
        write_text(directory.cross / f"{measure.name}.csv", _square(matrix, measure))
        if len(matrix.shops) <= MAX_SHOPS:
            write_text(directory.cross / f"{measure.name}.svg", _picture(matrix, measure))
    return [_line(matrix, measure) for measure in matrix.measures]


def _line(matrix: CrossMatrix, measure: Measure) -> str:
    home, elsewhere = matrix.at_home(measure), matrix.elsewhere(measure)
    text = f"{measure.label}: {estimate_text(home, measure)} by the shop's own adapter"
    return text if elsewhere is None else f"{text}, {estimate_text(elsewhere, measure)} by those of other shops"


def _values(matrix: CrossMatrix, measure: Measure) -> Values:
    cells = [[matrix.cell(one, asked, measure) for asked in matrix.shops] for one in matrix.shops]
    return np.array([[np.nan if cell is None else cell.mean for cell in line] for line in cells], dtype=np.float64)


def _picture(matrix: CrossMatrix, measure: Measure) -> str:
    columns = [f"asked: {shop}" for shop in matrix.shops]
    title = f"{measure.label}: a shop's adapter (row) on a shop's questions (column)"
    return heat_figure(f"cross-{measure.name}", title, _values(matrix, measure), matrix.shops, columns, measure)


def _square(matrix: CrossMatrix, measure: Measure) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [text_cell(shop) for shop in matrix.shops]
    writer.writerow(["adapter_of", *names])
    for name, line in zip(names, _values(matrix, measure), strict=True):
        writer.writerow([name, *["" if np.isnan(value) else f"{value:.6g}" for value in line]])
    return out.getvalue()


def _long(matrix: CrossMatrix) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["adapter_of", "asked", "measure", "mean", "ci95_low", "ci95_high", "queries", "dialogues"])
    for adapter_of, asked in sorted(matrix.rows):
        for measure in matrix.measures:
            cell = matrix.cell(adapter_of, asked, measure)
            if cell is not None:
                bounds = ["" if bound is None else f"{bound:.6g}" for bound in (cell.low, cell.high)]
                where = [text_cell(adapter_of), text_cell(asked), measure.name]
                writer.writerow([*where, f"{cell.mean:.6g}", *bounds, cell.n, cell.dialogues])
    return out.getvalue()
