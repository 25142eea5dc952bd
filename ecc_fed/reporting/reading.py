"""What was lost as a corpus was read, in a line and as a table."""

from collections.abc import Mapping

from ecc_fed.core.outside_text import cut
from ecc_fed.core.rows import Reading
from ecc_fed.reporting.formatting import count_text
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.study import Study

_SHOWN_LINES = 5


def reasons(dropped: Mapping[str, int]) -> str:
    """Such as "broken 3, label_0 500,000"; empty where nothing was dropped."""
    return ", ".join(f"{reason} {count_text(count)}" for reason, count in sorted(dropped.items()) if count)


def readings(study: Study) -> dict[str, Reading]:
    """Each different reading of the study's runs, by the label of the first arm that has it."""
    found: dict[str, Reading] = {}
    for group in study.groups:
        for run in group.runs:
            if run.info.reading is not None and run.info.reading not in found.values():
                found[f"{group.label}, seed {run.seed}"] = run.info.reading
    return found


def line(reading: Reading) -> str:
    """What was read and what was lost, step by step, and the first broken line."""
    lost = [
        f"of {count_text(step.read)} {name} {count_text(step.read - step.kept)} dropped ({reasons(step.dropped)})"
        for name, step in reading.steps.items()
        if step.read > step.kept
    ]
    broken = reading.broken_lines[:1]
    first = f"; the first broken line is {broken[0].number} ({cut(broken[0].reason, 200)})" if broken else ""
    language = f", {reading.language}" if reading.language else ""
    return f"{reading.path} ({reading.format}{language}): {'; '.join(lost) or 'nothing dropped'}{first}."


def tables(study: Study) -> list[tuple[str, PageTable, list[str]]]:
    """Title, balance of the steps, and notes, for each reading."""
    return [
        (f"{reading.path} ({reading.format}), {label}", _table(reading), _notes(reading))
        for label, reading in readings(study).items()
    ]


def _table(reading: Reading) -> PageTable:
    rows = [
        (
            Cell(name),
            Cell(count_text(step.read)),
            Cell(count_text(step.kept)),
            Cell(reasons(step.dropped) or "none"),
        )
        for name, step in reading.steps.items()
    ]
    return PageTable(("Step", "In", "Kept", "Dropped, by reason"), tuple(rows))


def _notes(reading: Reading) -> list[str]:
    broken = [f"Line {row.number}: {row.reason}" for row in reading.broken_lines[:_SHOWN_LINES]]
    edits = [f"Edits inside kept turns: {reasons(reading.edits)}"] if reasons(reading.edits) else []
    return [*broken, *edits, *filter(None, [reading.order]), *reading.notes]
