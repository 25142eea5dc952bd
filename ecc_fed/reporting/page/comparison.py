"""The table of the arms, before and after, and between them."""

from collections.abc import Callable, Mapping, Sequence

from ecc_fed.reporting.formatting import MISSING, count_text
from ecc_fed.reporting.measures import Comparison
from ecc_fed.reporting.page.cells import Cell, PageTable, difference_cell, estimate_cell, measured, split_cell
from ecc_fed.reporting.study import BASELINES, Study
from ecc_fed.reporting.tables.export import seed_table
from ecc_fed.reporting.tables.rows import ArmRow


def arms(rows: Sequence[ArmRow], of: Callable[[ArmRow, str], Mapping[str, str]]) -> PageTable:
    """The table of the arms after evolution, or a part of it; columns without any figure are left out."""
    lines = [{"Arm": row.label, **of(row, "\n")} for row in rows]
    columns = [title for title in (lines[0] if lines else {}) if any(line[title] != MISSING for line in lines)]
    return PageTable(tuple(columns), tuple(tuple(split_cell(line[title]) for title in columns) for line in lines))


def before_and_after(study: Study) -> PageTable:
    """A line for every arm and measure: before, after, and the paired difference; a single arm is not named."""
    measures = measured(study)
    gains = [(group, group.gain().differences) for group in study.groups]
    rows = [
        (
            Cell(group.label),
            Cell(measure.label),
            estimate_cell(group.base[measure.name], measure),
            estimate_cell(group.final[measure.name], measure),
            difference_cell(differences[measure.name], measure),
            Cell(count_text(0 if (after := group.final[measure.name]) is None else after.n)),
        )
        for group, differences in gains
        for measure in measures
    ]
    columns = ("Arm", "Measure", "Before", "After", "Paired difference", "Queries after")
    if len(study.groups) == 1:
        return PageTable(columns[1:], tuple(row[1:] for row in rows))
    return PageTable(columns, tuple(rows))


def between_arms(study: Study) -> tuple[PageTable, list[str]]:
    """Paired differences of every arm to each baseline, and notes where queries could not be paired."""
    lines: list[tuple[str, Comparison]] = []
    notes = []
    told: set[tuple[str, str]] = set()  # the other way round a difference tells nothing new
    for baseline in BASELINES:
        for group in study.groups:
            other = study.baseline(baseline, group)
            if other is None or (other.label, group.label) in told:
                continue
            told.add((group.label, other.label))
            title = f"{group.label} − {other.label}"
            if group.variant_label and group.variant == other.variant:
                title = f"{group.arm} − {other.arm} ({group.variant_label})"
            comparison = group.against(other)
            lines.append((title, comparison))
            if comparison.unpaired:
                notes.append(
                    f"{title}: {comparison.unpaired} queries of {group.label} have no like in {other.label} "
                    "and are left out."
                )
    shown = [measure for measure in measured(study) if measure.name not in ("perplexity", "verbatim_share")]
    measures = [m for m in shown if any(line.differences[m.name] for _, line in lines)]
    rows = [(Cell(title), *[difference_cell(line.differences[m.name], m) for m in measures]) for title, line in lines]
    return PageTable(("Difference", *[measure.label for measure in measures]), tuple(rows) if measures else ()), notes


def seeds(study: Study) -> PageTable | None:
    """A line for every run; None for a single one."""
    lines = seed_table(study) if len(study.runs) > 1 else []
    if not lines:
        return None
    columns = [title for title in lines[0] if any(line[title] != MISSING for line in lines)]
    return PageTable(tuple(columns), tuple(tuple(split_cell(line[title]) for title in columns) for line in lines))
