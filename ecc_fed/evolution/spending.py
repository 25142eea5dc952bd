"""What shops have spent on the cloud, as their folders tell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import get_args

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows import EvaluationPhase, read_record
from ecc_fed.evolution.evaluation_files import EvaluationRecord, evaluation_folder
from ecc_fed.evolution.shop_state import StateRecord, finished_rounds, state_folder
from ecc_fed.teacher.gateway.budget import NOTHING, Spending
from ecc_fed.teacher.gateway.journal import OPEN_CALLS, AttemptLine, counted, read_attempts, spending


def spent_by(folders: Iterable[Path]) -> Spending:
    """What the shops of these folders have spent so far: rounds, evaluations, and work that was cut.

    A file that is damaged counts for nothing here; the shop's own next call tells of it.
    """
    return sum((_spent(folder) for folder in folders), NOTHING)


def spent_on_base(folders: Iterable[Path]) -> Spending:
    """What of it the base's evaluation has spent."""
    return sum((_spent_on_base(folder) for folder in folders), NOTHING)


def _spent_on_base(folder: Path) -> Spending:
    with suppress(RunDirectoryError):
        path = evaluation_folder(folder, "base")
        if path.is_dir():
            return read_record(path / "evaluation.json", EvaluationRecord).spent
        return spending([line for line in open_attempts(folder) if line.tag == "base"])
    return NOTHING


def _spent(folder: Path) -> Spending:
    spent = NOTHING
    with suppress(RunDirectoryError):
        spent += spending(open_attempts(folder))
    if rounds := finished_rounds(folder):
        with suppress(RunDirectoryError):
            spent += read_record(state_folder(folder, rounds[-1]) / "state.json", StateRecord).spent
    for phase in get_args(EvaluationPhase):
        path = evaluation_folder(folder, phase)
        if path.is_dir():
            with suppress(RunDirectoryError):
                spent += read_record(path / "evaluation.json", EvaluationRecord).spent
    return spent


def open_attempts(folder: Path) -> list[AttemptLine]:
    """The shop's attempts that no saved state or evaluation holds.

    A journal outlives the saving of its work, and then the state holds its attempts; whatever the work, a state
    holds all that was asked before it.

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
    if tag in get_args(EvaluationPhase):
        return 0 if tag == "base" else math.inf
    return float(tag.removeprefix("train/"))


def _saved(folder: Path) -> float:
    """The place of the last work that lies whole; -1 before any. A warm start asks nothing."""
    if evaluation_folder(folder, "final").is_dir():
        return math.inf
    base = 0 if evaluation_folder(folder, "base").is_dir() else -1
    return max([base, *filter(None, finished_rounds(folder))])
