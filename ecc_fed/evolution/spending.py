"""What shops have spent on the cloud, as their folders tell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ecc_fed.core.rows import Phase, decode, read_record
from ecc_fed.core.run_directory import read_json
from ecc_fed.evolution.shop_state import StateRecord, finished_rounds
from ecc_fed.teacher.gateway.budget import NOTHING, Spending
from ecc_fed.teacher.gateway.journal import OPEN_CALLS, AttemptLine, counted, read_attempts, spending


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """`evaluation_PHASE.json`: what the evaluation spent on the cloud. Written last, so it marks a whole one."""

    spent: Spending


def spent_by(folders: Iterable[Path]) -> Spending:
    """What the shops of these folders have spent so far: rounds, evaluations, and work that was cut.

    Raises:
        RunDirectoryError: a file is broken.
    """
    return sum((_spent(folder) for folder in folders), NOTHING)


def _spent(folder: Path) -> Spending:
    spent = spending(open_attempts(folder))
    if rounds := finished_rounds(folder):
        path = folder / f"round_{rounds[-1]:04d}" / "state.json"
        spent += decode(StateRecord, read_json(path), str(path)).spent
    for phase in get_args(Phase):
        path = folder / f"evaluation_{phase}.json"
        if path.exists():
            spent += read_record(path, EvaluationRecord).spent
    return spent


def open_attempts(folder: Path) -> list[AttemptLine]:
    """The shop's attempts that no saved state or evaluation holds.

    A process that is killed between saving a state and removing the journal leaves one whose attempts
    the state holds; whatever the work, a state holds all that was asked before it.

    Raises:
        RunDirectoryError: the journal is broken.
    """
    kept = counted(read_attempts(folder / OPEN_CALLS))
    return [] if kept and _place(kept[-1].tag) <= _saved(folder) else kept


def drop_saved_attempts(folder: Path) -> None:
    """Removes a journal whose attempts a state or evaluation holds already."""
    if (folder / OPEN_CALLS).exists() and not open_attempts(folder):
        (folder / OPEN_CALLS).unlink()


def _place(tag: str) -> float:
    """A shop's work in its order: the base's evaluation is 0, round n is n, the final evaluation comes last."""
    if tag in get_args(Phase):
        return 0 if tag == "base" else math.inf
    return float(tag.removeprefix("train/"))


def _saved(folder: Path) -> float:
    """The place of the last work that lies whole; -1 before any. A warm start asks nothing."""
    if (folder / "evaluation_final.json").exists():
        return math.inf
    base = 0 if (folder / "evaluation_base.json").exists() else -1
    return max([base, *filter(None, finished_rounds(folder))])
