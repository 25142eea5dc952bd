"""What leaks, to whom, and what a defence costs: every run of a study attacked, beside what it is still worth.

    ecc-fed study privacy --allow experiments --out runs/privacy

A run that was attacked before is not attacked again. Seeds count together; intervals draw shops, then dialogues.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import UserError
from ecc_fed.core.ranges import require_number
from ecc_fed.core.rows import AttackRow, AttackTarget, read_rows
from ecc_fed.core.run_directory import write_text
from ecc_fed.reporting.attacks import TARGETS, AttackFigure, attack_figures, shown
from ecc_fed.reporting.formatting import MISSING, bytes_text, estimate_text, value_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.study import Group, load_study
from ecc_fed.runs.attack import attack
from ecc_fed.runs.finished_run import open_run
from experiments.paper.table6 import markdown

_WORTH = ("final_score", "fact_accuracy", "platform_fact_accuracy", "perplexity")


@dataclass(frozen=True)
class Attacked:
    """One arm under one defence: its runs, what attacks got of them, and what it cost."""

    group: Group
    figures: Sequence[AttackFigure]

    def figure(self, name: str, target: AttackTarget, kind: str = "") -> AttackFigure | None:
        """One attack's figure, where it was made."""
        return next((one for one in self.figures if (one.attack, one.target, one.kind) == (name, target, kind)), None)

    @property
    def epsilon(self) -> float | None:
        """The largest of its runs."""
        spent = [run.info.privacy.epsilon for run in self.group.runs if run.info.privacy.epsilon is not None]
        return max(spent, default=None)


def attacked(group: Group, candidates: int) -> Attacked:
    """The group's rows of attacks, made where they are not there yet."""
    rows: list[tuple[int, AttackRow]] = []
    for run in group.runs:
        path = run.directory.attacks / "rows.jsonl"
        if not path.is_file():
            attack(open_run(run.directory.root), candidates)
        rows += [(run.seed, row) for row in read_rows(path, AttackRow)]
    return Attacked(group, attack_figures(rows))


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
            f"`{each.group.label}`",
            MISSING if each.epsilon is None else f"{each.epsilon:.2f}",
            shown(ratio),
            value_text(ratio.found, "share"),
            *(MISSING if one is None else shown(one) for one in bits),
        ])  # fmt: skip
    head = ["Arm", "Epsilon", "Membership, AUC", "Found at 1% false", *(f"Exposure, bits: {kind}" for kind in kinds)]
    return markdown(head, rows) if rows else ""


def worth_table(found: Sequence[Attacked]) -> str:
    """A row an arm and defence: what the replies are worth, and what it took."""
    rows = []
    for each in found:
        final = each.group.final
        seconds = [run.info.runtime.wall_seconds for run in each.group.runs]
        up = [sum(row.bytes_up or 0 for row in run.info.aggregation) for run in each.group.runs]
        rows.append([
            f"`{each.group.label}`",
            *(estimate_text(final[name], BY_NAME[name]) for name in _WORTH),
            f"{sum(seconds) / len(seconds):.0f}",
            bytes_text(sum(up) / len(up)) if any(up) else MISSING,
        ])  # fmt: skip
    head = ["Arm", *(BY_NAME[name].label for name in _WORTH), "Seconds", "Adapters up"]
    return markdown(head, rows)


def page(found: Sequence[Attacked]) -> str:
    """A table for every kind of adapter, and the costs."""
    parts = ["# What leaks, and what a defence costs\n"]
    for target, name in TARGETS.items():
        table = leak_table(found, target)
        if table:
            parts += [f"## {name}\n", table]
    return "\n".join([*parts, "## What it is still worth\n", worth_table(found)])


def _lines(found: Sequence[Attacked]) -> Iterator[list[object]]:
    yield [
        "arm",
        "attack",
        "target",
        "kind",
        "mean",
        "ci95_low",
        "ci95_high",
        "tpr_at_1_percent_fpr",
        "members",
        "others",
    ]
    for each in found:
        for one in each.figures:
            bounds = [one.estimate.mean, one.estimate.low, one.estimate.high, one.found]
            numbers = ["" if value is None else f"{value:.6g}" for value in bounds]
            yield [each.group.label, one.attack, one.target, one.kind, *numbers, one.members, one.others]


@dataclass(frozen=True)
class Leakage:
    """A `core.protocols.StudyView`; `candidates`: among how many a planted secret is ranked."""

    candidates: int = 8192

    def __post_init__(self) -> None:
        require_number("study.view.candidates", self.candidates, 2, 1_000_000)

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Attacks what was not, and writes `leakage.md` and `leakage.csv`; returns their paths.

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
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(_lines(found))
        paths = [output / "leakage.md", output / "leakage.csv"]
        for path, text in zip(paths, (page(found), out.getvalue()), strict=True):
            write_text(path, text)
        return paths
