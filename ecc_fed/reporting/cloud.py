"""What the runs asked of the cloud by phase and round, and whether it was there to the end."""

from ecc_fed.core.rows import CloudCalls
from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.formatting import bytes_text, count_text
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import Study

PHASES = {"base": "Evaluation before", "stream": "Rounds", "final": "Evaluation after"}


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
        for phase, title in PHASES.items():
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


def asked_by_round(run: Run) -> list[tuple[int, int, int, int]]:
    """(server round, queries served, asked of the cloud, bytes up) of serving; none without rows or ledger."""
    if run.cloud_bytes is None:
        return []
    rows = [row for row in run.metrics or () if row.split == "stream" and row.server_round >= 1]
    rounds = sorted({row.server_round for row in rows})
    return [
        (
            number,
            sum(row.served for row in rows if row.server_round == number),
            sum(row.teacher_requests for row in rows if row.server_round == number),
            run.cloud_bytes.get(number, (0, 0))[0],
        )
        for number in rounds
    ]


def rounds_table(study: Study) -> PageTable:
    """Calls and bytes to the cloud in every server round, means over seeds; arms that asked nothing are left out."""
    rows = []
    for group in study.groups:
        runs = [found for found in map(asked_by_round, group.runs) if any(calls for _, _, calls, _ in found)]
        for place in range(max(map(len, runs), default=0)):
            there = [found[place] for found in runs if place < len(found)]
            served, calls, up = (weighted_mean([float(each[column]) for each in there]) for column in (1, 2, 3))
            cells = [count_text(served), count_text(calls), bytes_text(up)]
            rows.append((Cell(group.label), Cell(str(there[0][0])), *map(Cell, cells)))
    return PageTable(("Arm", "Round", "Queries", "Asked of the cloud", "Bytes up"), tuple(rows))


def rounds_lines(study: Study) -> list[str]:
    """From the first round to the last in a line for every arm."""
    lines = []
    for group in study.groups:
        runs = [found for found in map(asked_by_round, group.runs) if any(calls for _, _, calls, _ in found)]
        if not runs or len(runs[0]) < 2:
            continue
        first, last = ([found[end] for found in runs] for end in (0, -1))
        calls = [weighted_mean([float(each[2]) for each in end]) for end in (first, last)]
        up = [weighted_mean([float(each[3]) for each in end]) for end in (first, last)]
        lines.append(
            f"Asked of the cloud in a round, {group.label}: {count_text(calls[0])} calls, {bytes_text(up[0])} up in "
            f"the first; {count_text(calls[1])} calls, {bytes_text(up[1])} up in the last."
        )
    return lines
