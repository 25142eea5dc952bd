"""Reruns the commands behind the figures of README, and compares.

    python -m experiments.claims                      the cheap commands (`make claims`)
    python -m experiments.claims --all                all of them: hours
    python -m experiments.claims --only evolution     one

Every figure of `claims.toml` must stand in its file as claimed, also where its command is not run; a rerun's mean must
lie in the claimed interval. Finished runs in OUT are not done again: take a fresh folder after a change to the code.
Exit code 1 where any figure does not hold.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.claims.claims import Finding, check, read_claims, read_figures

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def rerun(command: str, out: Path) -> Path:
    """Runs `ecc-fed COMMAND --out OUT` and returns its `arms.csv`.

    Raises:
        RuntimeError: the command failed.
    """
    words = [sys.executable, "-m", "ecc_fed.cli.main", *shlex.split(command), "--out", str(out)]
    if subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        raise RuntimeError(f"ecc-fed {command} failed; its runs lie in {out}")
    return out / "arms.csv"


def table(findings: Sequence[Finding]) -> Table:
    """A line for each claim."""
    shown = Table("Command", "Arm", "Measure", "Claimed", "Found", "Holds")
    for finding in findings:
        claim = finding.claim
        arm = f"{claim.arm} ({claim.variant})" if claim.variant else claim.arm
        found = "not run" if finding.found is None else f"{finding.found:.4g}"
        claimed = f"{claim.mean:.4g} [{claim.low:.4g}, {claim.high:.4g}]"
        shown.add_row(claim.of, arm, claim.measure, claimed, found, "; ".join(finding.faults) or "yes")
    return shown


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="also commands that take long")
    parser.add_argument("--only", action="append", metavar="NAME", help="this command alone; may be given again")
    parser.add_argument("--out", type=Path, default=Path("runs/claims"), help="where runs go (default: %(default)s)")
    given = parser.parse_args()
    commands, claims = read_claims(HERE / "claims.toml")
    if unknown := set(given.only or ()) - commands.keys():
        parser.error(f"no command is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(commands))}")
    wanted = [name for name, each in commands.items() if name in (given.only or ()) or given.all or each.cheap]
    wanted = [name for name in wanted if given.only is None or name in given.only]
    console, figures = Console(), {}
    for name in wanted:
        console.print(f"ecc-fed {commands[name].command} (some {commands[name].minutes:g} minutes)", markup=False)
        figures[name] = read_figures(rerun(commands[name].command, (given.out / name).absolute()))
    findings = [
        check(claim, (ROOT / claim.where).read_text(encoding="utf-8"), figures.get(claim.of)) for claim in claims
    ]
    console.print(table(findings))
    return int(any(finding.faults for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
