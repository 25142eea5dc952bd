"""What the runs asked of the cloud by phase, and whether it was there to the end."""

from ecc_fed.core.rows import CloudCalls
from ecc_fed.reporting.formatting import count_text
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.study import Study

_PHASES = {"base": "Evaluation before", "stream": "Rounds", "final": "Evaluation after"}


def gone_notes(study: Study) -> list[str]:
    """A sentence for every run whose teacher died under way."""
    return [
        f"{group.label}, seed {run.seed}: the teacher was gone, {failure.reason}. What follows is what the run has."
        for group in study.groups
        for run in group.runs
        for failure in run.info.failures
        if failure.kind == "teacher_gone"
    ]


def _calls(study: Study) -> list[tuple[str, str, CloudCalls]]:
    found = []
    for group in study.groups:
        for phase, title in _PHASES.items():
            total = sum((run.info.cloud.get(phase, CloudCalls()) for run in group.runs), CloudCalls())
            if total.requests:
                found.append((group.label, title, total))
    return found


def calls_table(study: Study) -> PageTable:
    """A line for every arm and phase, all seeds together."""
    rows = [
        (
            Cell(label),
            Cell(title),
            *[Cell(count_text(number)) for number in (calls.requests, calls.cached, calls.failed)],
            Cell(count_text(calls.input_tokens)),
            Cell(count_text(calls.output_tokens)),
            Cell(f"{calls.cost_usd:,.4f}"),
            Cell("; ".join(calls.errors)),
        )
        for label, title, calls in _calls(study)
    ]
    columns = (
        "Arm",
        "Phase",
        "Requests",
        "From the cache",
        "Failed",
        "Tokens in",
        "Tokens out",
        "US dollars",
        "Errors",
    )
    return PageTable(columns, tuple(rows))


def calls_lines(study: Study) -> list[str]:
    """The same in a line for every arm. A simulated teacher is called so: its dollars are nobody's."""
    whom = "simulated teacher" if study.simulated_cloud else "cloud"
    lines: dict[str, list[str]] = {}
    for label, title, calls in _calls(study):
        failed = f", {calls.failed:,} failed" if calls.failed else ""
        text = f"{title.lower()} {calls.requests:,} ({calls.cached:,} cached{failed}, ${calls.cost_usd:,.4f})"
        lines.setdefault(label, []).append(text)
    return [f"Asked of the {whom}, {label}: {'; '.join(parts)}." for label, parts in lines.items()]
