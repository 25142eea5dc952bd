"""Where training beats copying, on made-up rows whose answer is known."""

import csv
from dataclasses import replace

import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.core.records import Turn
from ecc_fed.core.rows import FactRow, SampleRow, Signals, read_rows, write_rows
from ecc_fed.reporting.study import load_study
from experiments.floors import where as command
from experiments.floors.cases import CUTS, binned, cases_of
from experiments.floors.where import where, write
from tests.reporting.conftest import write_run

# arm -> how often a fact must have been taught for its replies to be right.
NEEDED = {"retrieval": 1, "base_with_examples": 3, "local": 5, "local_with_examples": 1}
TAUGHT = (0, 1, 2, 3, 6, 9)


def write_arm(root, arm, seed, world=""):
    """Facts are right in an arm from so many repetitions on, whatever else is true of them."""
    folder = write_run(root / f"{arm}{seed}", arm, seed, shops=3, queries=12, judged=False, world=f"{world}{seed}")
    rows = []
    for row in read_rows(folder / "samples.jsonl", SampleRow):
        place = int(row.pair_id[1:])
        taught = TAUGHT[place % 6]
        fact = FactRow(
            "courier", "courier", "shop" if place % 4 else "platform", ("圆通",), taught > 0, taught >= NEEDED[arm], (),
            (), taught, None if place % 2 else float(place % 5),
        )  # fmt: skip
        signals = Signals(None, place / 12) if place else None
        context = (Turn("customer", "在吗"),) if place >= 6 else ()
        rows.append(replace(row, facts=(fact,), signals=signals, context=context))
    write_rows(folder / "samples.jsonl", rows)
    return folder


@pytest.fixture
def study(tmp_path):
    for arm in NEEDED:
        for seed in (0, 1):
            write_arm(tmp_path / "runs", arm, seed)
    return tmp_path / "runs"


def cells_of(found):
    return {(cell.cut, cell.part): cell for cell in found.cells}


def test_shares_and_differences_are_those_that_the_rows_hold(study):
    (part,) = load_study([study]).variants
    found = where(part)
    assert found.arms == ("retrieval", "base_with_examples", "local", "local_with_examples")
    cells = cells_of(found)
    every = cells["All", "all facts"]
    assert [share.mean for share in every.shares] == pytest.approx([5 / 6, 3 / 6, 2 / 6, 5 / 6])
    assert [difference.mean for difference in every.differences] == pytest.approx([-3 / 6, 0])
    assert (every.shares[0].n, every.shares[0].shops, every.shares[0].dialogues) == (72, 6, 24)
    for name, differences in (("never", [0, 0]), ("once", [-1, 0]), ("3 to 4 times", [-1, 0]), ("more often", [0, 0])):
        cell = cells["Training pairs that state the fact", name]
        assert [difference.mean for difference in cell.differences] == differences
        assert (cell.differences[0].low, cell.differences[0].high) == (differences[0], differences[0])
        assert cell.shares[0].n == 12


def test_every_fact_stands_in_one_part_of_each_cut(study):
    (part,) = load_study([study]).variants
    cells = where(part).cells
    measured = {cut.title: 0 for cut in CUTS}
    for cell in cells:
        measured[cell.cut] += cell.shares[0].n
    # Of one question in twelve nobody measured the distance.
    assert measured == {cut.title: 66 if "Distance" in cut.title else 72 for cut in CUTS}
    found = {cell.part for cell in cells if cell.cut == "The fact's last change"}
    assert found == {"never", "up to 1 day ago", "1 to 3 days ago", "longer ago"}
    counts = {cell.part: cell.shares[0].n for cell in cells if cell.cut == "Turns before the question"}
    assert counts == {"none": 36, "some": 36}


def test_bounds_belong_to_the_part_below():
    parts = ("low", "middle", "high")
    assert [binned(value, (1, 3), parts) for value in (0, 1, 1.5, 3, 3.1, None)] == [
        "low", "low", "middle", "middle", "high", None,
    ]  # fmt: skip


def test_questions_that_an_arm_did_not_get_or_got_otherwise_are_left_out(study):
    path = study / "retrieval0" / "samples.jsonl"
    rows = list(read_rows(path, SampleRow))
    other = [replace(row, query="别的") if row.pair_id == "p001" else row for row in rows if row.pair_id != "p000"]
    write_rows(path, other)
    (part,) = load_study([study]).variants
    assert len(cases_of(part)[1]) == 72 - 3 - 3


def test_the_page_the_figures_and_the_plot_are_written(study, tmp_path):
    paths = write([study], tmp_path / "out")
    assert [path.name for path in paths] == ["where.md", "where.csv", "where.svg"]
    page = paths[0].read_text(encoding="utf-8")
    assert "Over 6 shops and 24 dialogues in them." in page
    assert "| once | 12 | 100.0% [100.0, 100.0] |" in page
    assert "| **-100.0 [-100.0, -100.0]** |" in page
    rows = list(csv.DictReader(paths[1].read_text(encoding="utf-8").splitlines()))
    once = [row for row in rows if row["part"] == "once"]
    assert [(row["arm"], row["against"], float(row["mean"])) for row in once] == [
        ("retrieval", "", 1), ("base_with_examples", "", 0), ("local", "", 0), ("local_with_examples", "", 1),
        ("local", "retrieval", -1), ("local_with_examples", "retrieval", 0),
    ]  # fmt: skip
    assert {row["shops"] for row in once} == {"6"}
    assert "Training pairs that state the fact: once" in paths[2].read_text(encoding="utf-8")


def test_without_the_arms_with_examples_training_is_still_set_against_the_copy(tmp_path):
    for arm in ("local", "retrieval"):
        write_arm(tmp_path, arm, 0)
    (part,) = load_study([tmp_path]).variants
    found = where(part)
    assert (found.arms, found.compared) == (("retrieval", "local"), ("local",))


def test_what_is_missing_is_named(tmp_path, monkeypatch, capsys):
    write_arm(tmp_path / "a", "local", 0)
    monkeypatch.setattr("sys.argv", ["where", str(tmp_path / "a"), "--output", str(tmp_path / "out")])
    assert command.main() == 1
    assert "No finished run of arm retrieval among these" in capsys.readouterr().err
    write_arm(tmp_path / "b", "retrieval", 0, world="other")
    with pytest.raises(UserError, match="No fact was asked for in all arms"):
        write([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
