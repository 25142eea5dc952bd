"""A study's runs, attacked: each once, and what came of it by arm and defence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import AttackRow, AttackTarget, read_rows
from ecc_fed.reporting.attacks import AttackFigure, attack_figures
from ecc_fed.reporting.study import Group
from ecc_fed.runs.attack import attack
from ecc_fed.runs.finished_run import open_run
from experiments.privacy.cloud import Heard, heard


@dataclass(frozen=True)
class Attacked:
    """One arm under one defence: its runs, what attacks got of their adapters, and what the cloud was told."""

    group: Group
    figures: Sequence[AttackFigure]
    heard: Heard | None = None

    def figure(self, name: str, target: AttackTarget, kind: str = "") -> AttackFigure | None:
        """One attack's figure, where it was made."""
        return next((one for one in self.figures if (one.attack, one.target, one.kind) == (name, target, kind)), None)

    @property
    def epsilon(self) -> float | None:
        """The largest of its runs."""
        spent = [run.info.privacy.epsilon for run in self.group.runs if run.info.privacy.epsilon is not None]
        return max(spent, default=None)


def attacked(group: Group, candidates: int) -> Attacked:
    """The group's rows of attacks, made where they are not there yet, and what the cloud was told."""
    rows, told = list[tuple[int, AttackRow]](), list[Heard | None]()
    for run in group.runs:
        path, finished = run.directory.attacks / "rows.jsonl", open_run(run.directory.root)
        if not path.is_file():
            attack(finished, candidates)
        rows += [(run.seed, row) for row in read_rows(path, AttackRow)]
        told.append(heard(finished))
    known = [each for each in told if each is not None]
    return Attacked(group, attack_figures(rows), sum(known, Heard(0, 0)) if known else None)
