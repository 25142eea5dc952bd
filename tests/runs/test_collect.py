"""What lies in the shops' folders becomes the files of the run: in order, whole, and with whose value it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import MetricRow, SampleRow, read_rows, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.loop import Learned
from ecc_fed.evolution.shop_state import ShopState, save_state
from ecc_fed.evolution.warm_start import warm_start_row
from ecc_fed.runs.collect import collect
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.journal import OPEN_CALLS, AttemptLine
from tests.evolution.fakes import NAMES, write_adapter
from tests.runs.test_attribution import row

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
        save_state(folder, ShopState(shop_id, 2, adapter, metrics=rows, egress=(sent(shop_id, number),)), write_adapter)
        for phase in ("base", "final"):
            write_rows(folder / f"evaluation_{phase}.jsonl", [replace(row("发申通", shop_id=shop_id), phase=phase)])
            write_rows(folder / f"evaluation_{phase}_egress.jsonl", [sent(shop_id, 10 + number)])
    return directory


def test_every_file_holds_all_shops_in_order(directory: RunDirectory) -> None:
    metrics = collect(directory, ["b", "a"], [sent("server", 99)], VALUES)
    assert [(of.server_round, of.cycle, of.shop_id) for of in metrics] == [
        (1, 0, "b"), (1, 0, "a"), (1, 1, "b"), (1, 1, "a"), (2, 0, "b"), (2, 0, "a"),
    ]  # fmt: skip
    assert read_rows(directory.metrics, MetricRow) == metrics
    egress = [(entry.shop_id, entry.num_bytes) for entry in read_rows(directory.egress, EgressEntry)]
    assert egress == [("b", 1), ("b", 11), ("b", 11), ("a", 0), ("a", 10), ("a", 10), ("server", 99)]
    samples = read_rows(directory.samples, SampleRow)
    assert [(of.shop_id, of.phase) for of in samples] == [(shop, phase) for shop in "ba" for phase in ("base", "final")]
    assert [of.facts[0].other_shop for of in samples] == [(), (), ("b",), ("b",)]


def test_a_shop_that_left_nothing_is_in_no_file(directory: RunDirectory) -> None:
    collect(directory, ["a", "c"], [], {})
    assert {of.shop_id for of in read_rows(directory.samples, SampleRow)} == {"a"}


def test_a_shops_broken_row_is_named(directory: RunDirectory) -> None:
    path = directory.shop("a") / "evaluation_final.jsonl"
    path.write_text(path.read_text().replace('"extra": false', '"extra": 0'))
    with pytest.raises(RunDirectoryError, match=r"evaluation_final\.jsonl, row 1: extra is 0, not true or false"):
        collect(directory, ["a"], [], {})


def test_what_was_sent_by_work_that_failed_for_good_is_in_the_ledger(directory: RunDirectory) -> None:
    lost = AttemptLine("final", "key", 1, Spending(1, 10, 0.5), (sent("a", 77),))
    write_rows(directory.shop("a") / OPEN_CALLS, [lost])
    collect(directory, ["a"], [], {})
    assert [entry.num_bytes for entry in read_rows(directory.egress, EgressEntry)] == [0, 77, 10, 10]
