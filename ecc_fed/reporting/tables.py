"""The table of the arms: for the terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from ecc_fed.core.rows import Phase
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, weighted_mean
from ecc_fed.reporting.formatting import bytes_text, count_text, difference_text, estimate_text, number_text
from ecc_fed.reporting.measures import BY_NAME, MEASURES, Measure, estimate_all
from ecc_fed.reporting.rows import Flow, Run
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.summary import escalation, teacher, traffic

HEADLINE = (
    "final_score", "similarity", "relevance", "fact_accuracy", "unseen_fact_accuracy", "platform_fact_accuracy",
    "other_shop_share", "chrf", "verbatim_share",
)  # fmt: skip
_ESCALATION = Measure("escalation_rate", "Escalation rate", "share", lambda row: None)


@dataclass(frozen=True)
class Costs:
    """What a run of the group costs, a mean over its seeds; None where no run tells."""

    cloud_calls: float | None
    up_bytes: float | None
    down_bytes: float | None
    wall_seconds: float | None


@dataclass(frozen=True)
class ArmRow:
    """One line of the table."""

    group: Group
    measures: dict[str, Estimate | None]
    escalation_first: Estimate | None
    escalation_last: Estimate | None
    costs: Costs


def _mean(values: Sequence[float | None]) -> float | None:
    return weighted_mean(values, [1.0] * len(values))


def _direction(run: Run, direction: str) -> float | None:
    parts = [value for key, value in traffic(run).items() if key in _SERVING[direction] and value is not None]
    return sum(parts) if parts else None


_SERVING = {
    "up": ("adapter_up_bytes", "teacher_up_bytes"),
    "down": ("adapter_down_bytes", "teacher_down_bytes"),
}


def costs(group: Group) -> Costs:
    """Cloud calls, bytes (without those of the evaluation) and seconds of a run of the group."""
    return Costs(
        cloud_calls=_mean([teacher(run)["requests"] for run in group.runs]),
        up_bytes=_mean([_direction(run, "up") for run in group.runs]),
        down_bytes=_mean([_direction(run, "down") for run in group.runs]),
        wall_seconds=_mean([run.info.runtime.wall_seconds for run in group.runs]),
    )


def flow_label(flow: Flow) -> str:
    """Such as "cloud teacher, up: prompt"; what only the evaluation asked is named so."""
    label = f"{flow.destination.replace('_', ' ')}, {flow.direction}: {flow.kind.replace('_', ' ')}"
    return f"{label} (evaluation)" if flow.evaluation else label


def flows(group: Group) -> dict[str, float]:
    """Flow -> bytes of a run, a mean over the seeds that have a ledger."""
    ledgers = [run.traffic for run in group.runs if run.traffic is not None]
    totals: dict[str, float] = {}
    for ledger in ledgers:
        for flow, (num_bytes, _) in ledger.items():
            totals[flow_label(flow)] = totals.get(flow_label(flow), 0.0) + num_bytes / len(ledgers)
    return totals


def arm_rows(study: Study) -> list[ArmRow]:
    """The table's rows, in the study's order."""
    rows = []
    for group in study.groups:
        seed = derive_seed(0, "report", group.label, "escalation")
        rows.append(
            ArmRow(
                group=group,
                measures=group.final,
                escalation_first=escalation(group.runs, last=False, seed=seed),
                escalation_last=escalation(group.runs, last=True, seed=seed),
                costs=costs(group),
            )
        )
    return rows


def quality_cells(row: ArmRow, separator: str = " ") -> dict[str, str]:
    """Column title -> a measure's figure with its 95% interval after `separator`."""
    return {BY_NAME[name].label: estimate_text(row.measures[name], BY_NAME[name], separator) for name in HEADLINE}


def cost_cells(row: ArmRow, separator: str = " ") -> dict[str, str]:
    """Column title -> what the arm asks of the cloud, the network and the clock."""
    return {
        "Escalated, first round": estimate_text(row.escalation_first, _ESCALATION, separator),
        "Escalated, last round": estimate_text(row.escalation_last, _ESCALATION, separator),
        "Cloud calls": count_text(row.costs.cloud_calls),
        "Bytes up": bytes_text(row.costs.up_bytes),
        "Bytes down": bytes_text(row.costs.down_bytes),
        "Seconds": number_text(row.costs.wall_seconds),
    }


def cells(row: ArmRow, separator: str = " ") -> dict[str, str]:
    """Every column of the table of the arms."""
    return quality_cells(row, separator) | cost_cells(row, separator)


def terminal_tables(rows: Sequence[ArmRow], width: int) -> list[Table]:
    """Arms side by side as columns, as many to a table as `width` characters hold; one arm beside its base."""
    if len(rows) == 1:
        return [_before_and_after(rows[0])]
    body = [cells(row, "\n") for row in rows]
    titles = list(body[0]) if body else []
    # Cells are at most "[0.712, 0.733]" wide, unless the arm's own name is wider.
    widths = [max(16, *(len(word) + 2 for word in row.group.label.split())) for row in rows]
    tables: list[Table] = []
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and max(map(len, titles)) + 3 + sum(widths[start : stop + 1]) <= width:
            stop += 1
        table = Table(show_lines=False, row_styles=["", "dim"], pad_edge=False)
        table.add_column("final, 95% interval")
        for row in rows[start:stop]:
            table.add_column(row.group.label, justify="right", overflow="fold")
        seeds = [", ".join(map(str, row.group.seeds)) for row in rows[start:stop]]
        table.add_row("Seeds", *seeds)
        for title in titles:
            table.add_row(title, *[cell[title] for cell in body[start:stop]])
        tables.append(table)
        start = stop
    return tables


def _before_and_after(row: ArmRow) -> Table:
    table = Table(show_lines=False, row_styles=["", "dim"], pad_edge=False)
    for title in ("95% interval", "before", f"after ({row.group.label})", "paired difference"):
        table.add_column(title, justify="left" if title == "95% interval" else "right", overflow="fold")
    differences = row.group.gain().differences
    for name in HEADLINE:
        measure = BY_NAME[name]
        before, after = (estimate_text(of[name], measure, "\n") for of in (row.group.base, row.measures))
        table.add_row(measure.label, before, after, difference_text(differences[name], measure, "\n"))
    for title, text in cost_cells(row, "\n").items():
        table.add_row(title, "", text, "")
    return table


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def markdown_table(rows: Sequence[ArmRow]) -> str:
    """The table in Markdown, an arm a line."""
    body = [{"Arm": row.group.label, "Seeds": str(len(row.group.runs)), **cells(row)} for row in rows]
    if not body:
        return ""
    lines = [list(body[0]), ["---"] * len(body[0]), *[list(line.values()) for line in body]]
    return "".join(f"| {' | '.join(map(_escape_markdown, line))} |\n" for line in lines)


def run_estimates(group: Group, run: Run, phase: Phase) -> dict[str, Estimate | None]:
    """Every measure of one run's phase."""
    return estimate_all(run.rows(phase), derive_seed(run.seed, "report", group.label, phase))


def csv_table(study: Study) -> str:
    """Every measure of every arm, phase and seed in long form; seed "all" pools the queries of all seeds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["arm", "variant", "seed", "phase", "measure", "mean", "ci95_low", "ci95_high", "queries"])

    def write(group: Group, seed: str, phase: str, name: str, estimate: Estimate | None) -> None:
        figures: list[object] = ["", "", "", 0]
        if estimate is not None:
            bounds = [f"{bound:.6g}" if bound is not None else "" for bound in (estimate.low, estimate.high)]
            figures = [f"{estimate.mean:.6g}", *bounds, estimate.n]
        writer.writerow([group.arm, group.variant_label, seed, phase, name, *figures])

    for group in study.groups:
        phases: tuple[tuple[Phase, dict[str, Estimate | None]], ...] = (("base", group.base), ("final", group.final))
        for phase, pooled in phases:
            for measure in MEASURES:
                write(group, "all", phase, measure.name, pooled[measure.name])
            for run in group.runs:
                for name, estimate in run_estimates(group, run, phase).items():
                    write(group, str(run.seed), phase, name, estimate)
    return out.getvalue()


def seed_table(study: Study) -> list[dict[str, str]]:
    """A line for every run: the arm, the seed, and the headline means without intervals."""
    lines = []
    for group in study.groups:
        for run in group.runs:
            found = run_estimates(group, run, "final")
            shown = {BY_NAME[name].label: estimate_text(found[name], BY_NAME[name]) for name in HEADLINE}
            lines.append(
                {
                    "Arm": group.label,
                    "Seed": str(run.seed),
                    "Shops": str(len(run.shops)),
                    "Failures": str(len(run.info.failures)),
                    **shown,
                    "Seconds": number_text(run.info.runtime.wall_seconds),
                }
            )
    return lines
