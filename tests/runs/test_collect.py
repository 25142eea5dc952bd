"""What lies in the shops' folders becomes the files of the run: in order, whole, and with whose value it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.records import EgressEntry, TeacherText, short_digest
from ecc_fed.core.rows import CloudCalls, MetricRow, SampleRow, read_rows, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.evaluation_files import save_evaluation
from ecc_fed.evolution.loop import Learned
from ecc_fed.evolution.owner import owner_of
from ecc_fed.evolution.shop_state import ShopState, save_state
from ecc_fed.evolution.warm_start import warm_start_row
from ecc_fed.runs.collect import collect
from ecc_fed.teacher.gateway.budget import NOTHING, Spending
from ecc_fed.teacher.gateway.journal import OPEN_CALLS, AttemptLine
from ecc_fed.teacher.gateway.texts import TEACHER_TEXTS
from tests.evolution.fakes import NAMES, shop, write_adapter
from tests.runs.test_attribution import row

OWNERS = {shop_id: owner_of(shop(shop_id), "ab12") for shop_id in "abc"}
VALUES = {"courier": {"申通": frozenset({"b"})}}


def metric(shop_id: str, server_round: int, cycle: int) -> MetricRow:
    return replace(warm_start_row(shop_id, Learned({}, None, (), 0, 1.0)), server_round=server_round, cycle=cycle)


def sent(shop_id: str, num_bytes: int) -> EgressEntry:
    return EgressEntry(shop_id, 1, "cloud_teacher", "up", "query", num_bytes)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path)
    for number, shop_id in enumerate("ab"):
        folder = directory.shop(shop_id)
        rows = tuple(metric(shop_id, *place) for place in ((1, 0), (1, 1), (2, 0)))
        adapter = {name: np.zeros((2, 2), np.float32) for name in NAMES}
        state = ShopState(shop_id, 2, adapter, metrics=rows, egress=(sent(shop_id, number),), run_id="ab12")
        save_state(folder, replace(state, dialogues_sha256=OWNERS[shop_id].dialogues_sha256), write_adapter)
        for phase in ("base", "final"):
            rows_of = [replace(row("发申通", shop_id=shop_id), phase=phase)]
            egress, calls = [sent(shop_id, 10 + number)], CloudCalls(3, 1, 1, 5, 6, 0.5, {f"error: {phase}": 1})
            save_evaluation(folder, phase, 2, OWNERS[shop_id], rows_of, egress, NOTHING, calls)
    return directory


def test_every_file_holds_all_shops_in_order(directory: RunDirectory) -> None:
    collected = collect(directory, [OWNERS["b"], OWNERS["a"]], [sent("server", 99)], VALUES)
    metrics = list(collected.metrics)
    assert collected.failures == ()
    assert [(of.server_round, of.cycle, of.shop_id) for of in metrics] == [
        (1, 0, "b"), (1, 0, "a"), (1, 1, "b"), (1, 1, "a"), (2, 0, "b"), (2, 0, "a"),
    ]  # fmt: skip
    assert read_rows(directory.metrics, MetricRow) == metrics
    egress = [(entry.shop_id, entry.num_bytes) for entry in read_rows(directory.egress, EgressEntry)]
    assert egress == [("b", 1), ("b", 11), ("b", 11), ("a", 0), ("a", 10), ("a", 10), ("server", 99)]
    samples = read_rows(directory.samples, SampleRow)
    assert [(of.shop_id, of.phase) for of in samples] == [(shop, phase) for shop in "ba" for phase in ("base", "final")]
    assert [of.facts[0].other_shop for of in samples] == [(), (), ("b",), ("b",)]


def test_texts_kept_for_the_teacher_come_in_the_ledgers_order(directory: RunDirectory) -> None:
    said = {name: TeacherText("a", "query", short_digest(name.encode()), name) for name in ("一", "二", "三")}
    entries = tuple(replace(sent("a", 3), digest=said[name].digest) for name in ("一", "二", "一"))
    shutil.rmtree(directory.shop("a") / "evaluation_final")
    write_rows(directory.shop("a") / OPEN_CALLS, [AttemptLine("final", "key", 1, NOTHING, entries)])
    for shop_id, texts in {"a": [*said.values()][::-1], "b": [replace(said["一"], shop_id="b")]}.items():
        write_rows(directory.shop(shop_id) / TEACHER_TEXTS, texts)
    assert collect(directory, [OWNERS["a"], OWNERS["b"]], [], {}).failures == ()
    found = read_rows(directory.teacher_texts, TeacherText)
    assert sorted(found[2:], key=lambda text: text.text) == [replace(said["一"], shop_id="b"), said["三"]], "in none"
    assert found[:2] == [said["一"], said["二"]]


def test_texts_that_cannot_be_read_are_left_out_and_told(directory: RunDirectory) -> None:
    (directory.shop("a") / TEACHER_TEXTS).write_bytes(b"[1]\n")
    (failure,) = collect(directory, [OWNERS["a"]], [], {}).failures
    assert (failure.kind, failure.shop_id) == ("state_damaged", "a") and TEACHER_TEXTS in failure.reason
    assert not directory.teacher_texts.exists()


def test_a_shop_that_left_nothing_is_in_no_file(directory: RunDirectory) -> None:
    collect(directory, [OWNERS["a"], OWNERS["c"]], [], {})
    assert {of.shop_id for of in read_rows(directory.samples, SampleRow)} == {"a"}


def test_what_was_sent_by_work_that_failed_for_good_is_in_the_ledger(directory: RunDirectory) -> None:
    lost = AttemptLine("final", "key", 1, Spending(1, 10, 0.5), (sent("a", 77),))
    shutil.rmtree(directory.shop("a") / "evaluation_final")
    write_rows(directory.shop("a") / OPEN_CALLS, [lost])
    collect(directory, [OWNERS["a"]], [], {})
    assert [entry.num_bytes for entry in read_rows(directory.egress, EgressEntry)] == [0, 77, 10]


def test_what_is_damaged_or_of_another_run_is_left_out_and_told(directory: RunDirectory) -> None:
    damaged = directory.shop("a") / "evaluation_final" / "samples.jsonl"
    damaged.write_text(damaged.read_text().replace('"extra": false', '"extra": true'))
    shutil.rmtree(directory.shop("b") / "round_0002")
    shutil.copytree(directory.shop("a") / "round_0002", directory.shop("b") / "round_0002")
    collected = collect(directory, [OWNERS["a"], OWNERS["b"]], [], {})
    assert {of.shop_id for of in collected.metrics} == {"a"}
    samples = read_rows(directory.samples, SampleRow)
    assert [(of.shop_id, of.phase) for of in samples] == [("a", "base"), ("b", "base"), ("b", "final")]
    assert [(of.kind, of.shop_id) for of in collected.failures] == [("state_damaged", "a"), ("state_damaged", "b")]
    assert "samples.jsonl is not as it was written" in collected.failures[0].reason
    assert "it is of shop a, not of b" in collected.failures[1].reason
    foreign = [replace(owner, run_id="cd34") for owner in (OWNERS["a"], OWNERS["b"])]
    assert collect(directory, foreign, [], {}).metrics == ()


def test_what_the_evaluations_asked_is_summed_over_the_shops(directory: RunDirectory) -> None:
    found = collect(directory, [OWNERS["a"], OWNERS["b"]], [], {}).evaluations
    assert found == {phase: CloudCalls(6, 2, 2, 10, 12, 1.0, {f"error: {phase}": 2}) for phase in ("base", "final")}
