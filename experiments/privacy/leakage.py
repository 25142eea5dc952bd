"""What leaks, to whom, and what a defence costs: every run of a study attacked, beside what it is still worth.

    ecc-fed study privacy --allow experiments --out runs/privacy

A run that was attacked before is not attacked again. Seeds count together; intervals draw shops, then dialogues. What
parts of the study found, each run with some of its variants, is joined by

    python -m experiments.privacy.leakage PART/leakage.csv PART/leakage.csv --output FOLDER
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import EccError, UserError
from ecc_fed.core.ranges import require_number
from ecc_fed.core.rows import AttackTarget
from ecc_fed.core.run_directory import write_text
from ecc_fed.reporting.attacks import TARGETS, shown
from ecc_fed.reporting.formatting import MISSING, bytes_text, estimate_text, value_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.study import load_study
from experiments.paper.table6 import markdown
from experiments.privacy.attacked import UNDEFENDED, WORTH, Attacked, attacked
from experiments.privacy.findings_file import as_csv, read_found
from experiments.privacy.frontier import frontier
from experiments.privacy.threats import threat_table


def leak_table(found: Sequence[Attacked], target: AttackTarget) -> str:
    """A row an arm and defence: what the attacks got out of one kind of adapter."""
    kinds = list(dict.fromkeys(one.kind for each in found for one in each.figures if one.attack == "exposure"))
    rows = []
    for each in found:
        ratio = each.figure("membership_ratio", target)
        if ratio is None:
            continue
        bits = [each.figure("exposure", target, kind) for kind in kinds]
        rows.append([
            f"`{each.method}`",
            each.defence,
            MISSING if each.costs.epsilon is None else f"{each.costs.epsilon:.2f}",
            shown(ratio),
            value_text(ratio.found, "share"),
            *(MISSING if one is None else shown(one) for one in bits),
        ])  # fmt: skip
    head = ["Arm", "Defence", "Epsilon", "Membership, AUC", "Found at 1% false"]
    return markdown([*head, *(f"Exposure, bits: {kind}" for kind in kinds)], rows) if rows else ""


def worth_table(found: Sequence[Attacked]) -> str:
    """A row an arm and defence: what the replies are worth, and what it took."""
    rows = []
    for each in found:
        up = each.costs.adapters_up
        rows.append([
            f"`{each.method}`",
            each.defence,
            *(estimate_text(each.worth[name], BY_NAME[name]) for name in WORTH),
            f"{each.costs.seconds:.0f}",
            bytes_text(up) if up else MISSING,
        ])  # fmt: skip
    head = ["Arm", "Defence", *(BY_NAME[name].label for name in WORTH), "Seconds", "Adapters up"]
    return markdown(head, rows)


def page(found: Sequence[Attacked]) -> str:
    """Who could learn what, a table for every kind of adapter, and the costs."""
    parts = ["# What leaks, and what a defence costs\n", "## Who could learn what\n", threat_table(found), "\n"]
    for target, name in TARGETS.items():
        table = leak_table(found, target)
        if table:
            parts += [f"## {name}\n", table]
    return "\n".join([*parts, "## What it is still worth\n", worth_table(found)])


@dataclass(frozen=True)
class Leakage:
    """A `core.protocols.StudyView`; `candidates`: among how many a planted secret is ranked."""

    candidates: int = 8192

    def __post_init__(self) -> None:
        require_number("study.view.candidates", self.candidates, 2, 1_000_000)

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Attacks what was not, and writes `leakage.md`, `leakage.csv` and `frontier.svg`; returns their paths.

        Raises:
            UserError: no run there trained adapters.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        groups = [
            group
            for group in load_study([directory]).groups
            if any(run.info.runtime.client_steps for run in group.runs)
        ]
        if not groups:
            raise UserError(f"{directory} holds no run whose shops trained: there is nothing to attack.")
        found = [attacked(group, self.candidates) for group in groups]
        return write_page(found, output)


def write_page(found: Sequence[Attacked], output: Path) -> list[Path]:
    """Writes `leakage.md`, `leakage.csv` and `frontier.svg`; returns their paths.

    Raises:
        RunDirectoryError: a file cannot be written.
    """
    methods = list(dict.fromkeys(one.method for one in found))
    # What is undefended comes first, the defences in the order in which they were found.
    found = sorted(found, key=lambda one: (methods.index(one.method), one.defence != UNDEFENDED))
    texts = {"leakage.md": page(found), "leakage.csv": as_csv(found), "frontier.svg": frontier(found)}
    paths = [output / name for name, text in texts.items() if text is not None]
    for path in paths:
        write_text(path, str(texts[path.name]))
    return paths


def joined(paths: Sequence[Path]) -> list[Attacked]:
    """What parts of one study found, in the order of the parts.

    Raises:
        UserError: a part cannot be read, or two tell of the same arm and defence.
    """
    found: dict[tuple[str, str], Attacked] = {}
    for path in paths:
        for one in read_found(path):
            if (one.method, one.defence) in found:
                twice = f"{one.method}, {one.defence}, as a part before it does"
                raise UserError(f"{path} tells of {twice}. Leave one of them out.")
            found[one.method, one.defence] = one
    return list(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Joins the parts; returns 2 for files that are none."""
    parser = argparse.ArgumentParser(prog="python -m experiments.privacy.leakage", description=__doc__)
    parser.add_argument("parts", type=Path, nargs="+", help="leakage.csv of a study's parts, each of other variants")
    parser.add_argument("--output", type=Path, required=True, help="the folder for the page, the table and the figure")
    given = parser.parse_args(arguments)
    try:
        for path in write_page(joined(given.parts), given.output):
            print(path)
    except EccError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
