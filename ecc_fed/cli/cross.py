"""`ecc-fed cross`: the adapters of a finished run on every shop's test questions."""

from __future__ import annotations

from ecc_fed.assembly.paths import paths_alone
from ecc_fed.cli.arguments import CommandParser, split_run
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.progress import run_progress
from ecc_fed.runs.cross import MOST_SHOPS, cross_evaluate
from ecc_fed.runs.finished_run import open_run

_HELP = """[bold]ecc-fed cross RUN[/] \\[--shops ID,ID…]   every shop's adapter on every shop's test questions

  RUN              the folder of a finished run whose shops trained
  --shops ID,ID…   these shops alone; a run of more than {most} shops must name them
  --allow PACKAGE  its config may name classes of this package
  corpus.path=FILE and other settings named path: where a file of the run lies now

What a shop has learned: does it hold elsewhere? Each device, as it was at the end of the run, replies to each shop's
test questions. The cloud is asked nothing, so that facts and chrF are measured and no final score. In RUN/cross lie
rows.jsonl (every reply), cross.csv (every pair of shops with intervals), and of every measure the matrix as CSV and as
SVG: a line for each adapter, a column for each shop that is asked.
The same command goes on with what was stopped: no adapter is asked twice.
"""


def main(arguments: list[str]) -> int:
    """Asks, and writes the matrix; returns the exit code."""
    parser = CommandParser(_HELP.format(most=MOST_SHOPS))
    parser.add_argument("--shops", default="")
    found, rest = parser.read(arguments)
    root, moved = split_run(rest, "ecc-fed cross RUN")
    paths_alone(moved)
    run = open_run(root, moved, found.allow)
    shop_ids = [shop_id.strip() for shop_id in found.shops.split(",") if shop_id.strip()]
    with run_progress("cross", TextConsole(stderr=True)) as on_progress:
        cross_evaluate(run, shop_ids, lambda done, of: on_progress("asking", done, of))
    # Plotting takes seconds to import; no mistake waits for it.
    from ecc_fed.reporting.comparison.cross import write_cross

    console = TextConsole()
    for line in write_cross(run.directory):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Matrices: {run.directory.cross}", markup=False, highlight=False, soft_wrap=True)
    return 0
