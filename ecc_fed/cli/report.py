"""`ecc-fed report`: tables and plots from finished runs."""

from __future__ import annotations

from pathlib import Path

from ecc_fed.cli.arguments import CommandParser
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
    parser = CommandParser(_HELP, allow=False)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--baseline")
    found, rest = parser.read(arguments)
    if not rest:
        raise UserError("Name a run directory or a folder that holds runs: ecc-fed report runs")
    report([Path(name) for name in rest], found.out, TextConsole(), found.baseline)
    return 0
