"""`ecc-fed report`: tables and plots from finished runs."""

from __future__ import annotations

from pathlib import Path

from ecc_fed.cli.arguments import refuse_flags, take_value
from ecc_fed.cli.console import TextConsole
from ecc_fed.core.errors import UserError
from ecc_fed.reporting.report import report

_HELP = """[bold]ecc-fed report DIR...[/] \\[--out DIR] \\[--baseline ARM]   tables, plots and one offline page

From finished runs:

  ecc-fed report runs/2026-11-22/10-00-00_local       one run
  ecc-fed report runs/studies/quickstart_...          all runs below a folder, side by side by arm and seed
  --out DIR                                           where report.html (arms.md, arms.csv, failed.csv, comparison/) go
  --baseline ARM                                      whom arms are held against, shop by shop: local unless told,
                                                      or the first arm where no run is of it
"""


def main(arguments: list[str]) -> int:
    """Writes a report; returns the exit code."""
    if any(argument in ("-h", "--help") for argument in arguments):
        TextConsole().print(_HELP, highlight=False)
        return 0
    rest = list(arguments)
    out = take_value(rest, "--out")
    baseline = take_value(rest, "--baseline")
    refuse_flags([argument for argument in rest if argument.startswith("-")], ())
    if not rest:
        raise UserError("Name a run directory or a folder that holds runs: ecc-fed report runs")
    report([Path(name) for name in rest], Path(out) if out else None, TextConsole(), baseline)
    return 0
