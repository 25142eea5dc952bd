"""What the server knows after a round, on disk, whole or not at all: with it, and the shops' states, a run goes on.

    server/round_0003/           complete once the folder has its name; the one before is kept until then
        server.json              schema, run, who is on their own, the base's evaluation, every round so far
        aggregator.safetensors   what the aggregator remembers
        digests.json             SHA-256 of every file

Round 0 is the base's evaluation.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import DamagedState, RunDirectoryError, WriteError
from ecc_fed.core.records import AgreedReply
from ecc_fed.core.rows import SCHEMA, check_schema, decode, write_record
from ecc_fed.core.run_directory import read_json
from ecc_fed.core.whole_folder import check_digests, replacing_folder
from ecc_fed.evolution.shop_state import finished_rounds, state_folder
from ecc_fed.federation.aggregation.state_files import load_state, save_state
from ecc_fed.federation.results import Checkpoint, Evaluation, RoundRecord, ServerState

_AGGREGATOR = "aggregator.safetensors"


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """`server.json`.

    Attributes:
        schema: of the run's files.
        run_id: whose it is.
        dialogues_sha256: of all shops' dialogues.
        server_round: after which round.
        adopted: shops that go on by themselves.
        base: the base's evaluation.
        rounds: all so far.
        seconds: that the run took until here, all its parts together.
        agreed: the replies to the public queries that go down next; in older runs there are none.
    """

    schema: int
    run_id: str
    dialogues_sha256: str
    server_round: int
    adopted: tuple[str, ...]
    base: Evaluation
    rounds: tuple[RoundRecord, ...]
    seconds: float
    agreed: tuple[AgreedReply, ...] = ()


def save_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    run_id: str,
    dialogues_sha256: str = "",
    seconds: float = 0.0,
) -> None:
    """Writes the checkpoint below the server's `folder`, then drops the one before.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    state = checkpoint.state
    final = state_folder(folder, state.server_round)
    adopted = tuple(sorted(state.adopted))
    record = CheckpointRecord(
        SCHEMA,
        run_id,
        dialogues_sha256,
        state.server_round,
        adopted,
        checkpoint.base,
        checkpoint.rounds,
        seconds,
        state.agreed,
    )
    try:
        with replacing_folder(final) as aside:
            save_state(aside / _AGGREGATOR, state.aggregator)
            write_record(aside / "server.json", record)
    except OSError as error:
        raise WriteError(
            f"{final} could not be written ({error}). The one before it lies whole. Free some space, or choose another "
            "place with hydra.run.dir=FOLDER (a study: --out FOLDER)."
        ) from error
    drop_former(folder)


def drop_former(folder: Path) -> None:
    """Drops the checkpoints before the newest, which a kill may have left beside it."""
    for old in finished_rounds(folder)[:-1]:
        shutil.rmtree(state_folder(folder, old), ignore_errors=True)


def load_checkpoint(folder: Path, run_id: str) -> tuple[Checkpoint, CheckpointRecord] | None:
    """The newest checkpoint below the server's `folder`; None if the run has none yet.

    Raises:
        DamagedState: it is not as it was written, or another run's; or another version wrote it.
    """
    rounds = finished_rounds(folder)
    if not rounds:
        return None
    path = state_folder(folder, rounds[-1])
    try:
        found = read_json(path / "server.json")
        check_schema(found.get("schema"), str(path))
        check_digests(path)
        record = decode(CheckpointRecord, found, str(path / "server.json"))
        if record.run_id != run_id:
            raise DamagedState(f"it is of run {record.run_id or '(none)'}, not of {run_id or '(none)'}")
        if record.server_round != rounds[-1]:
            raise DamagedState(f"it is of round {record.server_round}")
        aggregator = load_state(path / _AGGREGATOR)
    except (OSError, RunDirectoryError) as error:
        raise DamagedState(f"No readable state of the server in {path} ({error}). Start the run again.") from error
    state = ServerState(record.server_round, aggregator, frozenset(record.adopted), record.agreed)
    return Checkpoint(state, record.base, record.rounds), record
