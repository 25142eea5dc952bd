"""From a run to the matrix of its adapters, on the embedded models."""

import csv
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.cli.main import main
from ecc_fed.core.folder_lock import sole_writer
from ecc_fed.core.records import Shop
from ecc_fed.core.rows import CrossRow, SampleRow, read_rows
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs import cross
from ecc_fed.runs.simulation import simulate

SETTINGS = [
    "corpus.num_shops=2",
    "corpus.pairs_per_shop=24",
    "corpus.test_pairs_per_shop=4",
    "evolution.server_rounds=1",
    "finetune.steps=2",
    "finetune.batch_size=4",
    "finetune.learning_rate=1e-2",
    "decoding.max_new_tokens=10",
]


def finish(root: Path, *more: str) -> RunDirectory:
    composed = compose_run([*SETTINGS, *more])
    directory = RunDirectory(root)
    write_text(directory.config, to_yaml(composed))
    simulate(to_run_config(composed), directory, InProcessHosts(), lambda stage, done, total: None)
    return directory


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return finish(tmp_path_factory.mktemp("cross") / "run", "arm=aggregated")


def test_every_adapter_on_every_shop(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in finished.shops.rglob("*"))
    assert main(["cross", str(finished.root)]) == 0
    said = capsys.readouterr().out
    rows = read_rows(finished.cross / "rows.jsonl", CrossRow)
    assert [(row.adapter_of, row.sample.shop_id) for row in rows] == [
        (one, asked) for one in ("shop_0000", "shop_0001") for asked in ("shop_0000", "shop_0001") for _ in range(4)
    ]
    # A shop asked by its own adapter is the run's own evaluation, fact by fact.
    final = {(row.shop_id, row.pair_id): row for row in read_rows(finished.samples, SampleRow) if row.phase == "final"}
    for row in rows:
        own = final[row.sample.shop_id, row.sample.pair_id]
        assert row.sample.query == own.query
        assert [fact.key for fact in row.sample.facts] == [fact.key for fact in own.facts]
        if row.adapter_of == row.sample.shop_id:
            assert (row.sample.reply, row.sample.chrf) == (own.reply, own.chrf)
            assert [fact.right for fact in row.sample.facts] == [fact.right for fact in own.facts]
    assert "by the shop's own adapter" in said
    assert "by those of other shops" in said
    with (finished.cross / "chrf.csv").open() as file:
        square = list(csv.reader(file))
    assert square[0] == ["adapter_of", "shop_0000", "shop_0001"]
    cell = [row.sample.chrf for row in rows if (row.adapter_of, row.sample.shop_id) == ("shop_0000", "shop_0001")]
    assert float(square[1][2]) == pytest.approx(sum(filter(None, cell)) / 4, rel=1e-5)
    assert (finished.cross / "chrf.svg").read_text().startswith("<svg")
    # The run stays as it was: nothing was asked of the cloud, no shop learned anything.
    assert sorted(path.name for path in finished.shops.rglob("*")) == before


def test_what_was_stopped_goes_on_with_the_next_adapter_and_ends_the_same(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cross", str(finished.root)]) == 0
    whole = (finished.cross / "rows.jsonl").read_bytes()
    (finished.cross / "rows.jsonl").unlink()
    usual, asked = cross._replies, []

    def replies(shop: Shop, *given: Any) -> list[str]:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(shop.shop_id)
        return usual(shop, *given)

    monkeypatch.setattr(cross, "_replies", replies)
    assert main(["cross", str(finished.root)]) == 130
    assert not (finished.cross / "rows.jsonl").exists()
    asked.clear()
    # Other shops are another question, which takes nothing of this one and leaves it nothing.
    assert main(["cross", str(finished.root), "--shops", "shop_0001"]) == 0 and asked == ["shop_0001"]
    asked.clear()
    assert main(["cross", str(finished.root)]) == 130 and len(asked) == 3
    asked.clear()
    assert main(["cross", str(finished.root)]) == 0
    assert asked == ["shop_0000", "shop_0001"], "by the second adapter alone"
    assert (finished.cross / "rows.jsonl").read_bytes() == whole
    assert not (finished.cross / "unfinished").exists()
    with sole_writer(finished.cross, "", ""):
        assert main(["cross", str(finished.root)]) == 2
    assert "`ecc-fed cross` is at work on this run" in " ".join(capsys.readouterr().err.split())


def test_an_adapter_goes_out_with_its_own_scale(tmp_path: Path) -> None:
    directory = finish(tmp_path / "run", "arm=local", "adapter.lora_alphas=[4,64]")
    assert main(["cross", str(directory.root)]) == 0
    final = {
        (row.shop_id, row.pair_id): row.reply for row in read_rows(directory.samples, SampleRow) if row.phase == "final"
    }
    own = [row for row in read_rows(directory.cross / "rows.jsonl", CrossRow) if row.adapter_of == row.sample.shop_id]
    assert [row.sample.reply for row in own] == [final[row.adapter_of, row.sample.pair_id] for row in own]


def test_shops_by_name(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cross", str(finished.root), "--shops", "shop_0001"]) == 0
    rows = read_rows(finished.cross / "rows.jsonl", CrossRow)
    assert {(row.adapter_of, row.sample.shop_id) for row in rows} == {("shop_0001", "shop_0001")}
    assert "by those of other shops" not in capsys.readouterr().out
    assert main(["cross", str(finished.root), "--shops", "shop_0001,shop_9"]) == 2
    assert "There is no shop shop_9. The shops of" in capsys.readouterr().err


def test_many_shops_must_be_named(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross, "MOST_SHOPS", 1)
    assert main(["cross", str(finished.root)]) == 2
    assert "which makes 4 pairs. Name those to compare: --shops shop_0000,shop_0001" in capsys.readouterr().err


def test_an_arm_without_adapters_has_nothing_to_try(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = finish(tmp_path / "run", "arm=none")
    assert main(["cross", str(directory.root)]) == 2
    assert "The arm none trains no adapter" in capsys.readouterr().err
    assert main(["cross"]) == 2
    assert "ecc-fed cross RUN" in capsys.readouterr().err
    assert main(["cross", str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
