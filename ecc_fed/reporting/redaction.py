"""What redaction took out on the way to the cloud, and what came back."""

from ecc_fed.core.records import RedactionCounts
from ecc_fed.core.rows import CloudCalls
from ecc_fed.reporting.cloud import PHASES
from ecc_fed.reporting.formatting import count_text
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.study import Study

_COLUMNS = (
    "Arm",
    "Phase",
    "Redaction",
    "Values by class",
    "Values in examples",
    "Replies restored",
    "Unknown placeholders",
    "Replies refused",
)


def _counts(study: Study) -> list[tuple[str, str, str, RedactionCounts]]:
    """(arm, phase, redaction, counts), all seeds together, where anything was taken out."""
    found = []
    for group in study.groups:
        names = ", ".join(dict.fromkeys(run.info.privacy.redaction for run in group.runs))
        for phase, title in PHASES.items():
            calls = sum((run.info.cloud.get(phase, CloudCalls()) for run in group.runs), CloudCalls())
            if calls.redaction != RedactionCounts():
                found.append((group.label, title, names, calls.redaction))
    return found


def redaction_table(study: Study) -> PageTable:
    """A line for every arm and phase; none where nothing was redacted."""
    rows = [
        (
            Cell(label),
            Cell(title),
            Cell(name),
            Cell(", ".join(f"{kind} {count_text(number)}" for kind, number in counts.values.items())),
            *[
                Cell(count_text(number))
                for number in (counts.example_values, counts.restored, counts.unknown, counts.refused)
            ],
        )
        for label, title, name, counts in _counts(study)
    ]
    return PageTable(_COLUMNS, tuple(rows))


def redaction_lines(study: Study) -> list[str]:
    """All phases together, in a line for every arm."""
    totals: dict[tuple[str, str], RedactionCounts] = {}
    for label, _, name, counts in _counts(study):
        totals[label, name] = totals.get((label, name), RedactionCounts()) + counts
    return [
        f"Redaction ({name}), {label}: {sum(counts.values.values()):,} values taken out of dialogues, "
        f"{counts.example_values:,} out of the examples before them; {counts.restored:,} replies restored, "
        f"{counts.unknown:,} unknown placeholders left out, {counts.refused:,} replies refused for another "
        "customer's value."
        for (label, name), counts in totals.items()
    ]
