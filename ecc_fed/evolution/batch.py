"""Shops at work side by side share their batches, and with them the last bits of what they learn.

So what one of them has finished counts once all of them have. A process that is killed between the first and
the last save of a batch leaves some shops with the round and others without: then all of them take part again, and
end with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows import EvaluationPhase, read_record
from ecc_fed.evolution.evaluation_files import EvaluationRecord, evaluation_folder
from ecc_fed.evolution.shop_state import StateRecord, state_folder


@dataclass(frozen=True, slots=True)
class Batch:
    """The shops side by side, in their order, and those of them whose finished work is done again."""

    shop_ids: tuple[str, ...] = ()
    again: frozenset[str] = frozenset()

    def of(self, shop_id: str) -> tuple[str, ...]:
        """The shops that this one shares its work with, itself included."""
        return self.shop_ids if shop_id in self.shop_ids else (shop_id,)


def batch_of(shop_ids: Sequence[str], folders: Mapping[str, Path], phase: str, server_round: int) -> Batch:
    """The batch that is about to work.

    A shop that shared its work with others than these keeps what it has: done again here, it would not be the same.

    Args:
        shop_ids: the shops side by side.
        folders: theirs.
        phase: "train", or the evaluation's.
        server_round: of the work.
    """
    batch = tuple(shop_ids)
    shared = {shop_id: _shared_with(folders[shop_id], phase, server_round) for shop_id in batch}
    if None not in shared.values():
        return Batch(batch)
    return Batch(batch, frozenset(shop_id for shop_id, others in shared.items() if others == batch))


def _shared_with(folder: Path, phase: str, server_round: int) -> tuple[str, ...] | None:
    """The shops that this one shared its work with; None if the work is not finished.

    What is damaged was finished with nobody: the shop's own call tells of it.
    """
    evaluation = None if phase == "train" else evaluation_folder(folder, cast(EvaluationPhase, phase))
    path = evaluation or state_folder(folder, server_round)
    if not path.is_dir():
        return None
    try:
        if evaluation is None:
            return read_record(path / "state.json", StateRecord).together
        record = read_record(path / "evaluation.json", EvaluationRecord)
        return record.together if record.server_round == server_round else None
    except RunDirectoryError:
        return ()
