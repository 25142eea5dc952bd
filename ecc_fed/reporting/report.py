"""From run directories to a report: the page, the table's files, and what the terminal shows."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.reporting.cloud import calls_lines, gone_notes, rounds_lines
from ecc_fed.reporting.comparison.export import csv_files
from ecc_fed.reporting.comparison.findings import Findings, find
from ecc_fed.reporting.comparison.sentences import arm_lines
from ecc_fed.reporting.comparison.tables import verdict_row
from ecc_fed.reporting.dialogues import Dialogue, choose, verdicts
from ecc_fed.reporting.judges import study_notes
from ecc_fed.reporting.page import judging
from ecc_fed.reporting.page.html import render
from ecc_fed.reporting.page.quality import correlations
from ecc_fed.reporting.reading import line, readings
from ecc_fed.reporting.redaction import redaction_lines
from ecc_fed.reporting.study import Study, is_run, load_study
from ecc_fed.reporting.tables.export import csv_table, failed_table, markdown_table
from ecc_fed.reporting.tables.rows import ArmRow, arm_rows
from ecc_fed.reporting.tables.terminal import terminal_tables

_TERMINAL_DIALOGUES = 3
_TERMINAL_SENTENCES = 12
# Wide enough for an arm or two when the output goes to a file or a narrow terminal.
_MIN_WIDTH = 80


def _said(text: str, row: SampleRow | None = None) -> Text:
    line = Text(text or "(no reply)")
    for verdict in verdicts(row) if row is not None else ():
        style = {True: "green", False: "red", None: "dim"}[verdict.good]
        line.append(f"  [{verdict.text}]", style=style)
    return line


def _panel(dialogue: Dialogue, cloud_name: str) -> Panel:
    before = dialogue.before
    # Two columns: Chinese has no spaces, and one running text would break after every label.
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for turn in before.context:
        grid.add_row(Text(turn.role), _said(turn.text))
    grid.add_row("customer", _said(before.query))
    grid.add_row("human agent", _said(before.reference))
    if dialogue.cloud_reply is not None:
        grid.add_row(Text(cloud_name.lower()), _said(dialogue.cloud_reply))
    grid.add_row("before", _said(before.reply, before))
    for arm, row in dialogue.after.items():
        grid.add_row(Text(arm), _said(row.reply, row))
    # A long title loses its end: the shop stands first.
    title = Text(f"{before.shop_id}: {dialogue.outcome.lower()} ({dialogue.share})")
    return Panel(grid, title=title, title_align="left", border_style="dim")


def _found(findings: Findings) -> list[str]:
    """Of many arms those that tell, and how many do not."""
    found = findings.sentences
    if len(found) <= _TERMINAL_SENTENCES:
        return [one.text for one in found]
    shown = [one.text for one in found if one.telling][:_TERMINAL_SENTENCES]
    return [*shown, f"{len(found) - len(shown)} more: the page has every arm in words."]


def show(study: Study, rows: Sequence[ArmRow], findings: Findings, console: Console) -> None:
    """Prints what was found in words, what the arms are, their table, what the judge is worth, and a few dialogues."""
    for note in [*gone_notes(study), *study_notes(study)]:
        console.print(note, style="red", markup=False, highlight=False, soft_wrap=True)
    for text in _found(findings):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for text in arm_lines(findings):
        console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
    for table in terminal_tables(rows, max(console.width, _MIN_WIDTH), verdict_row(findings)):
        console.print(table, highlight=False)
    found = correlations(study)
    for row in found.rows if found is not None else ():
        text = f"{row[0].text}: the judge's score and right facts correlate with r = {row[2].text} {row[2].sub}"
        console.print(text, markup=False, highlight=False)
    for text in judging.lines(study):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for dialogue in choose(study, _TERMINAL_DIALOGUES):
        console.print(_panel(dialogue, study.cloud_name))
    for text in [*calls_lines(study), *rounds_lines(study), *redaction_lines(study)]:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for reading in readings(study).values():
        console.print(f"Read {line(reading)}", markup=False, highlight=False, soft_wrap=True)
    failed = sum(len(run.info.failures) for run in study.runs)
    if failed:
        console.print(f"{failed} failures: the report names each with its reason.", style="yellow", highlight=False)
    flagged = sum(len(run.flagged) for run in study.runs)
    if flagged:
        text = f"{flagged} updates of shops stand out by their norm and counted: the report names them."
        console.print(text, style="yellow", highlight=False)
    for note in study.notes:
        console.print(note, style="yellow", markup=False, highlight=False)


def output_folder(directories: Sequence[Path]) -> Path:
    """Where a report goes unless told: beside the runs of one folder, else the working directory."""
    return Path(directories[0]) if len(directories) == 1 else Path.cwd()


def report(
    directories: Sequence[Path],
    output: Path | None = None,
    console: Console | None = None,
    baseline: str | None = None,
) -> Path:
    """Writes `report.html` for the runs in or below the folders; for several runs also the table of the arms.

    Args:
        directories: run directories, or folders that hold some at any depth.
        output: the folder to write to; by default the one folder given, else the working directory.
        console: where to print the table, a few dialogues and the report's path; None prints nothing.
        baseline: the arm that others are held against; None: `local`, or the first where no run is of it.

    Returns:
        The path of `report.html`. For several runs `arms.md`, `arms.csv`, `failed.csv` and the folder `comparison` lie
        beside it.

    Raises:
        UserError: a folder does not exist or holds no finished run, or no run is of the baseline arm.
        RunDirectoryError: a run's file is broken, or the report cannot be written.
    """
    paths = [Path(directory) for directory in directories]
    study = load_study(paths)
    findings = find(study, baseline)
    rows = arm_rows(study)
    folder = output if output is not None else output_folder(paths)
    path = RunDirectory(folder).report
    try:
        write_text(path, render(study, rows, findings))
        if not is_run(folder):
            write_text(folder / "arms.md", markdown_table(rows))
            write_text(folder / "arms.csv", csv_table(study))
            for name, text in csv_files(findings).items():
                write_text(folder / "comparison" / name, text)
            # There also where none failed, so that no line of an earlier report stays.
            write_text(folder / "failed.csv", failed_table(study))
    except RunDirectoryError as error:
        raise RunDirectoryError(f"{error}, or give another folder for the report") from error
    if console is not None:
        show(study, rows, findings, console)
        console.print(f"Report: {path}", markup=False, highlight=False, soft_wrap=True)
    return path
