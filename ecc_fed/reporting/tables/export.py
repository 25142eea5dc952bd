"""The table of the arms as Markdown and as CSV, and every run in a line."""

import csv
import io
import re
from collections.abc import Sequence

from ecc_fed.core.outside_text import visible
from ecc_fed.core.rows import Phase
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.formatting import estimate_text, number_text
from ecc_fed.reporting.measures import BY_NAME, MEASURES, estimate_all
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import Group, Study, settings_text
from ecc_fed.reporting.tables.rows import HEADLINE, ArmRow, cells

# What Markdown, or the HTML in it, would take for more than text.
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#|~!&]")
# What a spreadsheet would take for a formula, were a cell to begin with it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _escape_markdown(text: str) -> str:
    return visible(_MARKDOWN.sub(r"\\\g<0>", text)).replace("\n", " ")


def text_cell(text: str) -> str:
    """A cell of CSV that stays text in a spreadsheet."""
    return f"'{visible(text)}" if text.startswith(_FORMULA) else visible(text)


def markdown_table(rows: Sequence[ArmRow]) -> str:
    """The table in Markdown, an arm a line."""
    body = [
        {
            "Arm": _escape_markdown(row.label),
            "Seeds": str(len(row.group.runs)),
            "Intervals over": row.group.drawn,
            **cells(row),
        }
        for row in rows
    ]
    if not body:
        return ""
    lines = [list(body[0]), ["---"] * len(body[0]), *[list(line.values()) for line in body]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def run_estimates(group: Group, run: Run, phase: Phase) -> dict[str, Estimate | None]:
    """Every measure of one run's phase."""
    return estimate_all(
        [(run.seed, row) for row in run.rows(phase)], derive_seed(run.seed, "report", group.label, phase)
    )


def csv_table(study: Study) -> str:
    """Every measure of every arm, phase and seed in long form; seed "all" pools the queries of all seeds.

    `shops` and `dialogues`: what the interval drew; no shops where it drew dialogues alone.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["arm", "variant", "seed", "phase", "measure", "mean", "ci95_low", "ci95_high", "queries", "shops", "dialogues"]
    )

    def write(group: Group, seed: str, phase: str, name: str, estimate: Estimate | None) -> None:
        figures: list[object] = ["", "", "", 0, "", 0]
        if estimate is not None:
            bounds = [f"{bound:.6g}" if bound is not None else "" for bound in (estimate.low, estimate.high)]
            figures = [f"{estimate.mean:.6g}", *bounds, estimate.n]
            figures += ["" if estimate.shops is None else estimate.shops, estimate.dialogues]
        writer.writerow([text_cell(group.arm), text_cell(settings_text(group.variant)), seed, phase, name, *figures])

    for group in study.groups:
        phases: dict[Phase, dict[str, Estimate | None]] = {"base": group.base, "final": group.final, **group.others}
        for phase, pooled in phases.items():
            for measure in MEASURES:
                write(group, "all", phase, measure.name, pooled[measure.name])
            for run in group.runs:
                for name, estimate in run_estimates(group, run, phase).items():
                    write(group, str(run.seed), phase, name, estimate)
    return out.getvalue()


def failed_table(study: Study) -> str:
    """The runs that failed, a line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "kind", "error"])
    writer.writerows([text_cell(text) for text in (each.name, each.kind, each.error)] for each in study.failed)
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
