"""A shop's evaluation on disk: its rows, and what left the shop for them, whole or not at all.

shops/<shop_id>/evaluation_base/     complete once the folder has its name
    evaluation.json                  schema, run, shop, phase, round, what the cloud has cost, the shops beside it
    samples.jsonl egress.jsonl
    digests.json                     SHA-256 of every file
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import DamagedState, RunDirectoryError, WriteError
from ecc_fed.core.records import EgressEntry, EvaluationReport
from ecc_fed.core.rows import (
    SCHEMA,
    CloudCalls,
    EvaluationPhase,
    SampleRow,
    check_schema,
    decode,
    read_rows,
    write_record,
    write_rows,
)
from ecc_fed.core.run_directory import read_json
from ecc_fed.core.whole_folder import check_digests, replacing_folder
from ecc_fed.evolution.owner import Owner
from ecc_fed.teacher.gateway.budget import Spending


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """`evaluation.json`: of whom, when."""

    schema: int
    run_id: str
    shop_id: str
    dialogues_sha256: str
    phase: EvaluationPhase
    server_round: int
    spent: Spending
    calls: CloudCalls = CloudCalls()  # noqa: RUF009 (frozen)
    together: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShopEvaluation:
    """One evaluation of one shop after `server_round` rounds."""

    server_round: int
    rows: tuple[SampleRow, ...]
    egress: tuple[EgressEntry, ...]
    calls: CloudCalls


def evaluation_folder(folder: Path, phase: EvaluationPhase) -> Path:
    """Where a shop's evaluation lies, once it is whole; `folder` is the shop's."""
    return folder / f"evaluation_{phase}"


def save_evaluation(
    folder: Path,
    phase: EvaluationPhase,
    server_round: int,
    owner: Owner,
    rows: Sequence[SampleRow],
    egress: Sequence[EgressEntry],
    spent: Spending,
    calls: CloudCalls,
    together: tuple[str, ...] = (),
) -> None:
    """Writes the evaluation into the shop's `folder`, in the place of an earlier one of that phase.

    `together` are the shops side by side in it, itself included.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    final = evaluation_folder(folder, phase)
    record = EvaluationRecord(
        SCHEMA, owner.run_id, owner.shop_id, owner.dialogues_sha256, phase, server_round, spent, calls, together
    )
    try:
        with replacing_folder(final) as aside:
            write_rows(aside / "samples.jsonl", rows)
            write_rows(aside / "egress.jsonl", egress)
            write_record(aside / "evaluation.json", record)
    except OSError as error:
        raise WriteError(
            f"{final} could not be written ({error}). Free some space, or choose another place with "
            "hydra.run.dir=FOLDER (a study: --out FOLDER)."
        ) from error


def load_evaluation(folder: Path, phase: EvaluationPhase, owner: Owner) -> ShopEvaluation | None:
    """The shop's evaluation of a phase; None if there is none yet.

    Raises:
        DamagedState: it is not as it was written, or another's; or another version wrote it.
    """
    path = evaluation_folder(folder, phase)
    if not path.is_dir():
        return None
    try:
        found = read_json(path / "evaluation.json")
        check_schema(found.get("schema"), str(path))
        check_digests(path)
        record = decode(EvaluationRecord, found, str(path / "evaluation.json"))
        if record.phase != phase:
            raise DamagedState(f"it is of phase {record.phase}")
        owner.check(Owner(record.run_id, record.shop_id, record.dialogues_sha256))
        rows = read_rows(path / "samples.jsonl", SampleRow)
        egress = read_rows(path / "egress.jsonl", EgressEntry)
    except (OSError, RunDirectoryError) as error:
        raise DamagedState(f"No readable evaluation in {path} ({error}). Start the run again in a fresh folder.") from (
            error
        )
    return ShopEvaluation(record.server_round, tuple(rows), tuple(egress), record.calls)


def report_of(rows: Sequence[SampleRow], phase: EvaluationPhase) -> EvaluationReport:
    """Of the shop's own replies; others' may stand beside them."""
    return EvaluationReport(sum(row.phase == phase for row in rows))
