"""What a shop remembers between rounds, on disk, whole or not at all.

    shops/<shop_id>/round_0003/      state after server round 3, complete once the folder has its name
        adapter/                     peft's own files, so that peft and vLLM open it
        optimizer.safetensors
        control.safetensors          a control variate and its last change, where the shop keeps one
        state.json                   schema, run, shop, round, dialogues learned from, pseudo-labels, what the cloud
                                     has cost, how replies were received, the shops beside it,
                                     replies to public queries
        metrics.jsonl egress.jsonl   rows so far
        lessons.jsonl                what a chat taught, in a chat's states
        digests.json                 SHA-256 of every file

A round is written aside and renamed, so a killed process leaves the previous round untouched. The
round before the last is kept: a round that is asked for again is answered from what was before and after it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ecc_fed.core.errors import DamagedState, ModelError, RunDirectoryError, WriteError
from ecc_fed.core.records import AdapterState, EgressEntry, OptimizerState, PseudoLabel
from ecc_fed.core.rows import SCHEMA, LessonRow, MetricRow, check_schema, decode, read_rows, write_record, write_rows
from ecc_fed.core.run_directory import read_json, write_bytes
from ecc_fed.core.whole_folder import check_digests, replacing_folder
from ecc_fed.end_model.adapters.files import load_adapter
from ecc_fed.evolution.owner import Owner
from ecc_fed.evolution.routing.router import Outcome
from ecc_fed.evolution.variates import ControlVariate
from ecc_fed.privacy.accounting import NoisySteps
from ecc_fed.teacher.gateway.budget import NOTHING, Spending

_KEPT_ROUNDS = 2
_CONTROL_FILE, _OWN, _CHANGE = "control.safetensors", "own.", "change."

# Of a shop whose adapter has a lora_alpha of its own, `lora_alpha` says so by that name.
WriteAdapter = Callable[..., None]


@dataclass(frozen=True)
class ShopState:
    """A shop after `server_round` rounds.

    `served` counts the stream's pairs already served, `num_examples` what the shop learned from in this round;
    `run_id` and `dialogues_sha256` are its owner's. `spent` its rounds' calls to the cloud, those of rounds that
    failed included. `outcomes` are what a router learns from, `noisy_steps` all training under a privacy budget so far.
    `together` are the shops side by side in this round, itself included, and `warm_before`, of a warm start, is the
    server round whose work began with it. `public_replies` are those that this round was asked for.
    """

    shop_id: str
    server_round: int
    adapter: AdapterState
    optimizer: OptimizerState | None = None
    served: int = 0
    natural_ids: tuple[str, ...] = ()
    pseudo_labels: tuple[PseudoLabel, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    egress: tuple[EgressEntry, ...] = ()
    lessons: tuple[LessonRow, ...] = ()
    spent: Spending = NOTHING
    num_examples: int = 0
    run_id: str = ""
    dialogues_sha256: str = ""
    together: tuple[str, ...] = ()
    warm_before: int | None = None
    outcomes: tuple[Outcome, ...] = ()
    public_replies: tuple[str, ...] = ()
    control: ControlVariate = field(default_factory=ControlVariate)
    noisy_steps: tuple[NoisySteps, ...] = ()


@dataclass(frozen=True, slots=True)
class StateRecord:
    """`state.json`: of a `ShopState`, what has no file of its own."""

    schema: int
    run_id: str
    shop_id: str
    dialogues_sha256: str
    server_round: int
    served: int
    num_examples: int
    natural_ids: tuple[str, ...]
    pseudo_labels: tuple[PseudoLabel, ...]
    spent: Spending = NOTHING
    together: tuple[str, ...] = ()
    warm_before: int | None = None
    outcomes: tuple[Outcome, ...] = ()
    noisy_steps: tuple[NoisySteps, ...] = ()
    public_replies: tuple[str, ...] = ()


def adapter_digest(state: AdapterState) -> str:
    """SHA-256 over names, shapes and values: equal digests mean bit-equal adapters."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name}{state[name].shape}{state[name].dtype.str}".encode())
        digest.update(state[name].tobytes())
    return digest.hexdigest()


def _name(server_round: int) -> str:
    return f"round_{server_round:04d}"


def state_folder(folder: Path, server_round: int) -> Path:
    """Where the state after a round lies, once it is whole; `folder` is the shop's, or the server's."""
    return folder / _name(server_round)


def finished_rounds(folder: Path) -> list[int]:
    """The rounds whose state lies whole in a shop's folder, ascending; whatever else lies there is none."""
    named = [(path, re.fullmatch(r"round_([0-9]+)", path.name)) for path in folder.glob("round_*")]
    rounds = [(path, int(match[1])) for path, match in named if match is not None]
    return sorted(number for path, number in rounds if path.name == _name(number) and path.is_dir())


def save_state(folder: Path, state: ShopState, write_adapter: WriteAdapter) -> None:
    """Writes `state` as a new round of the shop's folder, then drops rounds no resume needs.

    Args:
        folder: the shop's.
        state: what to keep.
        write_adapter: writes an adapter folder in peft's format.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    try:
        with replacing_folder(state_folder(folder, state.server_round)) as aside:
            _write_aside(aside, state, write_adapter)
    except (OSError, SafetensorError, WriteError) as error:
        raise WriteError(
            f"{folder}: round {state.server_round} could not be written ({str(error).splitlines()[0]}). Rounds before "
            "it lie whole. Free some space, or choose another place with hydra.run.dir=FOLDER (a study: --out FOLDER)."
        ) from error
    drop_old_rounds(folder)


def drop_old_rounds(folder: Path) -> None:
    """Drops the rounds that no resume needs."""
    for old in finished_rounds(folder)[:-_KEPT_ROUNDS]:
        shutil.rmtree(state_folder(folder, old), ignore_errors=True)


def _write_aside(aside: Path, state: ShopState, write_adapter: WriteAdapter) -> None:
    write_adapter(aside / "adapter", state.adapter)
    if state.optimizer is not None:
        tensors = {name: np.asarray(tensor, order="C") for name, tensor in state.optimizer.items()}
        write_bytes(aside / "optimizer.safetensors", save(tensors))
    variate = {f"{_OWN}{name}": tensor for name, tensor in state.control.own.items()}
    variate |= {f"{_CHANGE}{name}": tensor for name, tensor in state.control.change.items()}
    if variate:
        write_bytes(aside / _CONTROL_FILE, save({name: np.asarray(each, order="C") for name, each in variate.items()}))
    write_rows(aside / "metrics.jsonl", state.metrics)
    write_rows(aside / "egress.jsonl", state.egress)
    if state.lessons:
        write_rows(aside / "lessons.jsonl", state.lessons)
    record = StateRecord(
        SCHEMA,
        state.run_id,
        state.shop_id,
        state.dialogues_sha256,
        state.server_round,
        state.served,
        state.num_examples,
        state.natural_ids,
        state.pseudo_labels,
        state.spent,
        state.together,
        state.warm_before,
        state.outcomes,
        state.noisy_steps,
        state.public_replies,
    )
    write_record(aside / "state.json", record)


def load_state(folder: Path, server_round: int, owner: Owner | None = None) -> ShopState:
    """The shop after `server_round`.

    Args:
        folder: the shop's.
        server_round: which of its rounds.
        owner: whose it must be; None takes anybody's.

    Raises:
        DamagedState: that round is not there, not as it was written, or another's; or another version wrote it.
    """
    path = state_folder(folder, server_round)
    try:
        found = read_json(path / "state.json")
        check_schema(found.get("schema"), str(path))
        check_digests(path)
        state = decode(StateRecord, found, str(path / "state.json"))
        if state.server_round != server_round:
            raise DamagedState(f"it is of round {state.server_round}")
        if owner is not None:
            owner.check(Owner(state.run_id, state.shop_id, state.dialogues_sha256))
        optimizer, lessons = path / "optimizer.safetensors", path / "lessons.jsonl"
        return ShopState(
            shop_id=state.shop_id,
            server_round=state.server_round,
            adapter=load_adapter(path / "adapter")[0],
            optimizer=load_file(optimizer) if optimizer.exists() else None,
            served=state.served,
            natural_ids=state.natural_ids,
            pseudo_labels=state.pseudo_labels,
            metrics=tuple(read_rows(path / "metrics.jsonl", MetricRow)),
            egress=tuple(read_rows(path / "egress.jsonl", EgressEntry)),
            lessons=tuple(read_rows(lessons, LessonRow)) if lessons.exists() else (),
            spent=state.spent,
            num_examples=state.num_examples,
            run_id=state.run_id,
            dialogues_sha256=state.dialogues_sha256,
            together=state.together,
            warm_before=state.warm_before,
            outcomes=state.outcomes,
            public_replies=state.public_replies,
            control=_load_control(path / _CONTROL_FILE),
            noisy_steps=state.noisy_steps,
        )
    except (OSError, ValueError, SafetensorError, ModelError, RunDirectoryError) as error:
        present = finished_rounds(folder)
        raise DamagedState(
            f"No readable state of server round {server_round} in {folder} ({error}); rounds there: "
            f"{present or 'none'}. Start the run again in a fresh folder."
        ) from error


def _load_control(path: Path) -> ControlVariate:
    if not path.exists():
        return ControlVariate()
    found = load_file(path)
    parts = [
        {name.removeprefix(mark): tensor for name, tensor in found.items() if name.startswith(mark)}
        for mark in (_OWN, _CHANGE)
    ]
    return ControlVariate(*parts)


def newest_state(folder: Path, before_round: int | None = None, owner: Owner | None = None) -> ShopState | None:
    """The shop after the last round it finished (before `before_round`, if given); None if it finished none.

    Raises:
        DamagedState: as `load_state`.
    """
    rounds = [done for done in finished_rounds(folder) if before_round is None or done < before_round]
    return load_state(folder, rounds[-1], owner) if rounds else None
