"""Where training beats copying: right facts by arm, and paired differences, cut by what may decide it.

python -m experiments.floors.where RUN_DIR...
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecc_fed.core.errors import EccError
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, bootstrap_ratio_differences, bootstrap_ratios
from ecc_fed.reporting.formatting import MISSING, clear, interval_text, value_text
from ecc_fed.reporting.study import Study, load_study
from ecc_fed.reporting.units import drawn_text, units_of
from experiments.floors.cases import BOTH, COPIED, CUTS, TRAINED, cases_of
from experiments.floors.plot import differences_plot
from experiments.paper.table6 import markdown


@dataclass(frozen=True)
class Cell:
    """One part of one cut: the share of right facts by arm, and how far arms are from the copy."""

    cut: str
    part: str
    shares: tuple[Estimate | None, ...]
    differences: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class Where:
    """The table of one setting: its arms, the arms that are set against the copy, and its cells."""

    label: str
    arms: tuple[str, ...]
    compared: tuple[str, ...]
    cells: tuple[Cell, ...]
    drawn: str


def where(part: Study) -> Where:
    """Compares the arms of one setting.

    Raises:
        UserError: as `cases_of`.
    """
    arms, cases = cases_of(part)
    compared = tuple(arm for arm in (TRAINED, BOTH) if arm in arms)
    rows = [(case.seed, case.row) for case in cases]
    units = units_of(rows)
    right = np.array([[case.right[arm] for arm in arms] for case in cases], dtype=np.float64)
    cells = []
    for cut in CUTS:
        members = [cut.part_of(case) for case in cases]
        for name in cut.parts:
            chosen = [place for place, member in enumerate(members) if member == name]
            if chosen:
                seed = derive_seed(0, "where", cut.title, name)
                cells.append(_cell(cut.title, name, right[chosen], arms, compared, units.take(chosen), seed))
    label = part.groups[0].variant_label
    return Where(label, arms, compared, tuple(cells), drawn_text(rows))


def _cell(
    cut: str,
    part: str,
    right: np.ndarray,
    arms: Sequence[str],
    compared: Sequence[str],
    units: Units,
    seed: int,
) -> Cell:
    """One cell; `right` is (facts, arms), `units` are the facts'."""
    ones = np.ones_like(right)
    left = right[:, [arms.index(arm) for arm in compared]]
    copy = np.repeat(right[:, [arms.index(COPIED)]], len(compared), axis=1)
    against = np.ones_like(left)
    return Cell(
        cut,
        part,
        tuple(bootstrap_ratios(right, ones, units, seed)),
        tuple(bootstrap_ratio_differences((left, against), (copy, against), units, seed)),
    )


def _share(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    return f"{value_text(estimate.mean, 'share')} {interval_text(estimate, 'share')}".strip()


def _difference(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    text = f"{100 * estimate.mean:+.1f} {interval_text(estimate, 'share')}".strip()
    return f"**{text}**" if clear(estimate) else text


def _units(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    return f"{estimate.dialogues:,}" if estimate.shops is None else f"{estimate.shops:,}, {estimate.dialogues:,}"


def page(found: Sequence[Where]) -> str:
    """The tables in Markdown, a section a setting."""
    parts = [
        "# Where training beats copying\n",
        "Right facts of test questions, in per cent; differences in percentage points, paired by question, bold where "
        "the interval leaves zero out. Intervals are 95% bootstrap intervals over shops and dialogues in them; how "
        "many of each stands in the last column. Where two arms do not differ, one interval of twenty says they do.\n",
    ]
    for of in found:
        head = [
            "", "Facts", *of.arms, *(f"{arm} − {COPIED}" for arm in of.compared), "Shops, dialogues",
        ]  # fmt: skip
        rows, cut = [], ""
        for cell in of.cells:
            if cell.cut != cut:
                cut = cell.cut
                rows.append([f"**{cut}**", *[""] * (len(head) - 1)])
            first = cell.shares[0]
            rows.append([
                cell.part,
                MISSING if first is None else f"{first.n:,}",
                *map(_share, cell.shares),
                *map(_difference, cell.differences),
                _units(first),
            ])  # fmt: skip
        if of.label:
            parts.append(f"## {of.label}\n")
        parts += [f"Over {of.drawn}.\n", markdown(head, rows)]
    return "\n".join(parts)


def csv_text(found: Sequence[Where]) -> str:
    """Every figure in long form: of an arm, or of an arm against the copy."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["setting", "cut", "part", "arm", "against", "mean", "ci95_low", "ci95_high", "facts", "shops", "dialogues"]
    writer.writerow(head)
    for of in found:
        for cell in of.cells:
            lines = [(arm, "", estimate) for arm, estimate in zip(of.arms, cell.shares, strict=True)]
            lines += [(arm, COPIED, estimate) for arm, estimate in zip(of.compared, cell.differences, strict=True)]
            for arm, against, estimate in lines:
                if estimate is not None:
                    figures = (estimate.mean, estimate.low, estimate.high)
                    shown = ["" if figure is None else f"{figure:.6g}" for figure in figures]
                    counts = [estimate.n, "" if estimate.shops is None else estimate.shops, estimate.dialogues]
                    writer.writerow([of.label, cell.cut, cell.part, arm, against, *shown, *counts])
    return out.getvalue()


def write(directories: Sequence[Path], output: Path) -> list[Path]:
    """Writes `where.md`, `where.csv` and a figure for every setting; returns their paths.

    Raises:
        UserError: no run, or no two arms to compare.
        RunDirectoryError: a run's file is broken, or the output cannot be written.
    """
    found = [where(part) for part in load_study(directories).variants]
    texts = {"where.md": page(found), "where.csv": csv_text(found)}
    for number, of in enumerate(found):
        bars = [
            (f"{cell.cut}: {cell.part}" if cell.cut != "All" else "All facts", cell.differences) for cell in of.cells
        ]
        title = "Right facts against a copy of the nearest own example" + (f" ({of.label})" if of.label else "")
        texts[f"where{number or ''}.svg"] = differences_plot(title, of.compared, bars)
    paths = []
    for name, text in texts.items():
        paths.append(output / name)
        write_text(paths[-1], text)
    return paths


def main() -> int:
    """Writes the tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+", help="folders of runs, or folders that hold them")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args()
    try:
        for path in write(given.directories, given.output):
            print(path)
    except EccError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
