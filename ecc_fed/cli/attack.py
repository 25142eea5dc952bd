"""`ecc-fed attack`: what the adapters of a finished run tell of the dialogues behind them."""

from __future__ import annotations

from rich.table import Table

from ecc_fed.assembly.paths import paths_alone
from ecc_fed.cli.arguments import CommandParser, split_run
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.progress import run_progress
from ecc_fed.runs.attack import CANDIDATES, attack
from ecc_fed.runs.finished_run import open_run

_HELP = """[bold]ecc-fed attack RUN[/] \\[--candidates N] \\[--shadows N]   what its adapters tell of dialogues

  RUN              the folder of a finished run whose shops trained
  --candidates N   among so many a planted secret is ranked; {candidates:,} gives 13 bits at most, 256 are quick
  --shadows N      also LiRA, by N adapters for every shop that never saw it: 2 N are trained, as long as shops trained
  --allow PACKAGE  its config may name classes of this package
  corpus.path=FILE and other settings named path: where a file of the run lies now

Membership: can pairs that were learned be told from pairs of the same stream that were not? AUC, 0.5 is chance; and the
share of members found where 1% of the others may be accused. Exposure: by how many bits a planted secret stands out
(`ecc-fed run corpus.canaries=\\[1,4,16]` plants them). Extraction: asked what a customer had asked, does the model say
the private value that only the agent's reply held? Guessed back: of what redaction takes out of a learned reply, by how
many bits does the true value stand out among others of its kind? Another shop's questions: of the values that the
shop's replies hold, how many come out where the next shop asks what its own customers asked, and how many replies say
one? Each of the bare base, which never saw anything (the control), of the shop's own adapter, and of what the server
sends another shop.
In RUN/attacks lie rows.jsonl and attacks.csv.
"""


def main(arguments: list[str]) -> int:
    """Attacks, and prints what came of it; returns the exit code."""
    parser = CommandParser(_HELP.format(candidates=CANDIDATES))
    parser.add_number("--candidates", least=2, most=1_000_000, example=256, default=CANDIDATES)
    parser.add_number("--shadows", least=1, most=1000, example=4, default=0)
    found, rest = parser.read(arguments)
    root, moved = split_run(rest, "ecc-fed attack RUN")
    paths_alone(moved)
    run = open_run(root, moved, found.allow)
    with run_progress("attack", TextConsole(stderr=True)) as on_progress:
        cost = attack(run, found.candidates, lambda done, of: on_progress("adapters", done, of), found.shadows)
    # The bootstrap's imports take seconds; no mistake waits for them.
    from ecc_fed.reporting.attacks import table, write_attacks

    head, rows = table(write_attacks(run.directory, run.info.seed))
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row)
    console = TextConsole()
    console.print(shown)
    if found.shadows:
        console.print(
            f"{cost.shadows} shadow adapters for LiRA were trained in {cost.shadow_seconds:.0f} s.", markup=False
        )
    console.print(f"Rows and table: {run.directory.attacks}", markup=False, highlight=False, soft_wrap=True)
    return 0
