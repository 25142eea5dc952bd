"""A shop's state on disk: whole, complete, and no more rounds than a resume needs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import DamagedState, RunDirectoryError, WriteError
from ecc_fed.core.records import AdapterState, EgressEntry, PseudoLabel, Turn
from ecc_fed.core.rows import SCHEMA, LessonRow, Signals
from ecc_fed.core.run_directory import read_json
from ecc_fed.evolution.loop import Learned
from ecc_fed.evolution.owner import Owner, dialogues_digest
from ecc_fed.evolution.routing.router import Outcome
from ecc_fed.evolution.shop_state import (
    ShopState,
    adapter_digest,
    finished_rounds,
    load_state,
    newest_state,
    save_state,
)
from ecc_fed.evolution.warm_start import warm_start_row
from tests.evolution.fakes import NAMES, shop, write_adapter

ADAPTER = {NAMES[0]: np.arange(6, dtype=np.float32).reshape(2, 3), NAMES[1]: np.full((3, 2), 0.25, np.float32)}
FULL = ShopState(
    shop_id="店 1",
    server_round=3,
    adapter=ADAPTER,
    optimizer={"step": np.array(7, np.float32), f"m.{NAMES[0]}": np.arange(6, dtype=np.float32).reshape(3, 2).T},
    served=11,
    natural_ids=("b", "a"),
    pseudo_labels=(
        PseudoLabel(
            "p", (Turn("customer", "hi"), Turn("agent", "亲"), Turn("customer", "?")), "x", "m1", "low_score", 2
        ),
        PseudoLabel("q", (Turn("customer", "q"),), "y", "m2", "unhappy_customer", 3),
    ),
    metrics=(
        warm_start_row("店 1", Learned({}, None, (0.5,), 1.0, 1)),
        warm_start_row("店 1", Learned({}, None, (), 0.0, 0)),
    ),
    egress=(EgressEntry("店 1", 1, "cloud_teacher", "up", "query", 5, details={"attempt": 2}),),
    lessons=(LessonRow(1, "p", "human", 2, 1.0, 0.5, None, "f00d"),),
    num_examples=4,
    outcomes=(Outcome(3, Signals(0.5, 0.25), True), Outcome(3, Signals(None, None), False)),
)


def equal(a: ShopState, b: ShopState) -> bool:
    def same(one: AdapterState | None, other: AdapterState | None) -> bool:
        if one is None or other is None:
            return one is other
        return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)

    plain = [replace(state, adapter={}, optimizer=None) for state in (a, b)]
    return plain[0] == plain[1] and same(a.adapter, b.adapter) and same(a.optimizer, b.optimizer)


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    bare = ShopState("s", 0, ADAPTER)
    for state in (FULL, bare):
        folder = tmp_path / state.shop_id
        save_state(folder, state, write_adapter)
        assert equal(load_state(folder, state.server_round), state)
        assert [path.name for path in folder.iterdir()] == [f"round_{state.server_round:04d}"]
    assert load_state(tmp_path / "s", 0).optimizer is None


def test_the_last_two_rounds_are_kept(tmp_path: Path) -> None:
    for server_round in range(4):
        save_state(tmp_path, replace(FULL, server_round=server_round, served=server_round), write_adapter)
    assert finished_rounds(tmp_path) == [2, 3]
    found = newest_state(tmp_path), newest_state(tmp_path, 3), newest_state(tmp_path, 2), newest_state(tmp_path, 99)
    assert [state and state.served for state in found] == [3, 2, None, 3]
    assert newest_state(tmp_path / "nowhere") is None


def test_a_round_saved_again_takes_the_firsts_place_whole(tmp_path: Path) -> None:
    save_state(tmp_path, FULL, write_adapter)
    save_state(tmp_path, replace(FULL, served=12, optimizer=None), write_adapter)
    found = load_state(tmp_path, 3)
    assert (found.served, found.optimizer) == (12, None)


def test_leftovers_of_a_killed_save_are_no_round_and_do_no_harm(tmp_path: Path) -> None:
    aside = tmp_path / ".round_0003.partial"
    (aside / "adapter").mkdir(parents=True)
    (aside / "optimizer.safetensors").write_bytes(b"half")
    (tmp_path / "round_0009").write_text("a file")
    (tmp_path / "round_new").mkdir()
    assert finished_rounds(tmp_path) == []
    save_state(tmp_path, replace(FULL, optimizer=None), write_adapter)
    assert finished_rounds(tmp_path) == [3]
    assert load_state(tmp_path, 3).optimizer is None and not aside.exists()


def test_rounds_are_numbers_not_names(tmp_path: Path) -> None:
    for server_round in (9_999, 10_000):
        save_state(tmp_path, replace(FULL, server_round=server_round), write_adapter)
    assert finished_rounds(tmp_path) == [9_999, 10_000]
    newest = newest_state(tmp_path)
    assert newest is not None and newest.server_round == 10_000


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), WriteError("cannot write x: the disk is full\nmore")]
)
def test_a_save_that_fails_says_where_and_leaves_the_round_before(tmp_path: Path, error: Exception) -> None:
    save_state(tmp_path, FULL, write_adapter)

    def refuse(path: Path, state: AdapterState) -> None:
        write_adapter(path, state)
        raise error

    with pytest.raises(WriteError) as caught:
        save_state(tmp_path, replace(FULL, server_round=4), refuse)
    reason = str(error).splitlines()[0]
    assert str(caught.value) == (
        f"{tmp_path}: round 4 could not be written ({reason}). Rounds before it lie whole. Free some space, or choose "
        "another place with hydra.run.dir=FOLDER (a study: --out FOLDER)."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["round_0003"]
    assert equal(load_state(tmp_path, 3), FULL)


def test_an_error_that_is_no_write_error_passes(tmp_path: Path) -> None:
    def broken(path: Path, state: AdapterState) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        save_state(tmp_path, FULL, broken)


@pytest.mark.parametrize(
    "damage",
    [
        "state.json",
        "metrics.jsonl",
        "egress.jsonl",
        "lessons.jsonl",
        "optimizer.safetensors",
        "adapter/adapter_model.safetensors",
    ],
)
def test_a_damaged_file_makes_the_round_unreadable_by_name(tmp_path: Path, damage: str) -> None:
    save_state(tmp_path, replace(FULL, server_round=2), write_adapter)
    save_state(tmp_path, FULL, write_adapter)
    (tmp_path / "round_0003" / damage).write_bytes(b'{"a": ')
    with pytest.raises(RunDirectoryError, match=r"round_0003|server round 3") as caught:
        load_state(tmp_path, 3)
    assert str(tmp_path) in str(caught.value)


def test_a_round_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    for present, said in (([], "none"), ([3], r"\[3\]")):
        for server_round in present:
            save_state(tmp_path, replace(FULL, server_round=server_round), write_adapter)
        with pytest.raises(
            RunDirectoryError,
            match=rf"^No readable state of server round 1 in .*; rounds there: {said}\. Start the run again",
        ):
            load_state(tmp_path, 1)


def test_a_digest_tells_names_shapes_types_and_every_bit_and_not_the_order() -> None:
    same = {name: ADAPTER[name].copy() for name in reversed(ADAPTER)}
    assert adapter_digest(same) == adapter_digest(ADAPTER)
    assert len(adapter_digest(ADAPTER)) == 64
    first, second = NAMES
    others = [
        {},
        {first: ADAPTER[first]},
        {first: ADAPTER[first], "other": ADAPTER[second]},
        {first: ADAPTER[second], second: ADAPTER[first]},
        {first: ADAPTER[first].reshape(3, 2), second: ADAPTER[second]},
        {first: ADAPTER[first], second: ADAPTER[second].view(np.int32)},
        {first: ADAPTER[first], second: np.nextafter(ADAPTER[second], np.float32(1))},
        {first: ADAPTER[first], second: -ADAPTER[second]},
    ]
    assert len({adapter_digest(state) for state in (ADAPTER, *others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("schema", "age"), [(None, "an older"), (SCHEMA - 1, "an older"), (SCHEMA + 1, "a newer"), ("two", "an older")]
)
def test_a_state_of_another_version_is_refused_by_name(tmp_path: Path, schema: object, age: str) -> None:
    save_state(tmp_path, FULL, write_adapter)
    path = tmp_path / "round_0003" / "state.json"
    record = read_json(path)
    assert record["schema"] == SCHEMA
    path.write_text(json.dumps({"schema": schema, "something": "else"}), encoding="utf-8")
    expected = rf"round_0003 was written by {age} version \(schema {schema}, this one writes {SCHEMA}\); run it again"
    with pytest.raises(RunDirectoryError, match=expected):
        load_state(tmp_path, 3)
    path.write_text(json.dumps(record | {"served": 12}), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"state\.json is not as it was written: its SHA-256 is another"):
        load_state(tmp_path, 3)


def test_a_runs_state_has_no_file_of_lessons(tmp_path: Path) -> None:
    save_state(tmp_path, replace(FULL, lessons=()), write_adapter)
    assert not (tmp_path / "round_0003" / "lessons.jsonl").exists()


OWNER = Owner("ab12", "店 1", "d1")


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (replace(OWNER, run_id="cd34"), "it is of run ab12, not of cd34"),
        (replace(OWNER, shop_id="b"), "it is of shop 店 1, not of b"),
        (replace(OWNER, dialogues_sha256="d2"), "shop 店 1 had other dialogues when it was written"),
    ],
)
def test_a_state_is_read_by_its_owner_alone(tmp_path: Path, owner: Owner, said: str) -> None:
    save_state(tmp_path, replace(FULL, run_id="ab12", dialogues_sha256="d1"), write_adapter)
    assert equal(load_state(tmp_path, 3, OWNER), load_state(tmp_path, 3))
    with pytest.raises(DamagedState, match=said):
        load_state(tmp_path, 3, owner)
    with pytest.raises(DamagedState, match=said):
        newest_state(tmp_path, owner=owner)


def test_a_state_is_of_the_round_that_its_folder_names(tmp_path: Path) -> None:
    save_state(tmp_path, FULL, write_adapter)
    (tmp_path / "round_0003").rename(tmp_path / "round_0004")
    with pytest.raises(DamagedState, match="it is of round 3"):
        load_state(tmp_path, 4)


def test_stray_names_are_no_rounds(tmp_path: Path) -> None:
    save_state(tmp_path, FULL, write_adapter)
    for name in ("round_0001.bak", "round_x", "round_", "round_00003", "round_1", "round_0004 (copy)", "round_٤"):
        (tmp_path / name).mkdir()
    assert finished_rounds(tmp_path) == [3]
    newest = newest_state(tmp_path)
    assert newest is not None and newest.server_round == 3


def test_a_file_of_another_shops_state_is_found(tmp_path: Path) -> None:
    other = {name: tensor + np.float32(1) for name, tensor in ADAPTER.items()}
    save_state(tmp_path / "a", FULL, write_adapter)
    save_state(tmp_path / "b", replace(FULL, adapter=other), write_adapter)
    own, foreign = (tmp_path / name / "round_0003" / "adapter" for name in "ab")
    (own / "adapter_model.safetensors").write_bytes((foreign / "adapter_model.safetensors").read_bytes())
    with pytest.raises(DamagedState, match=r"adapter_model\.safetensors is not as it was written"):
        load_state(tmp_path / "a", 3)


def test_the_digest_of_dialogues_moves_with_every_word_and_every_part() -> None:
    one = shop()
    moved = replace(one, history=one.history[1:], stream=(*one.history[:1], *one.stream))
    others = [
        moved,
        replace(one, test=one.test[:-1]),
        replace(one, stream=tuple(reversed(one.stream))),
        replace(one, history=(replace(one.history[0], reply="x"), *one.history[1:])),
        replace(one, history=(replace(one.history[0], query="x"), *one.history[1:])),
        replace(one, history=(replace(one.history[0], context=(Turn("agent", "x"),)), *one.history[1:])),
    ]
    assert len({dialogues_digest(each) for each in (one, shop(), *others)}) == len(others) + 1
