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
from ecc_fed.core.rows import AttackTarget
from ecc_fed.core.run_directory import write_text
from ecc_fed.reporting.attacks import TARGETS, shown
from ecc_fed.reporting.formatting import MISSING, bytes_text, estimate_text, value_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.study import load_study
from experiments.paper.table6 import markdown
from experiments.privacy.attacked import Attacked, attacked
from experiments.privacy.frontier import frontier
from experiments.privacy.threats import threat_table

_WORTH = ("final_score", "fact_accuracy", "platform_fact_accuracy", "perplexity")


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
    """Who could learn what, a table for every kind of adapter, and the costs."""
    parts = ["# What leaks, and what a defence costs\n", "## Who could learn what\n", threat_table(found), "\n"]
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
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(_lines(found))
        texts = {"leakage.md": page(found), "leakage.csv": out.getvalue(), "frontier.svg": frontier(found)}
        paths = [output / name for name, text in texts.items() if text is not None]
        for path in paths:
            write_text(path, str(texts[path.name]))
        return paths
