"""A run under Flower's own engines leaves what `ecc-fed run` leaves."""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from ecc_fed.assembly import build
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import UserError
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl
from ecc_fed.evolution.settings import Services
from ecc_fed.federation.flower.server_app import server_app
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.reporting.page.costs import runtime
from ecc_fed.reporting.study import load_study
from ecc_fed.runs import flower_apps, flower_end
from ecc_fed.runs.conclusion import conclude
from ecc_fed.runs.hosting import HostDevices
from ecc_fed.runs.reading import read_corpus
from ecc_fed.runs.run_folder import new_run, resumed_run
from ecc_fed.runs.simulation import simulate
from tests.evolution import fakes

OVERRIDES = "corpus.num_shops=2 corpus.pairs_per_shop=24 corpus.test_pairs_per_shop=2 evolution.server_rounds=2"


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def services(config: RunConfig, budget_share: float = 1.0) -> Services:
        return replace(fakes.services(), end_model=fakes.CountingModel())

    monkeypatch.setattr(build, "build_services", services)
    monkeypatch.setattr(build, "adapter_writer", lambda config: fakes.write_adapter)


def ours(root: Path) -> RunDirectory:
    """`ecc-fed run` without its page."""
    directory, composed = RunDirectory(root), compose_run(OVERRIDES.split())
    config = to_run_config(composed)
    with new_run(directory, to_yaml(composed), "x") as run_id:
        simulate(config, directory, InProcessHosts(), lambda *_: None, run_id)
        conclude(config, directory)
    return directory


def under_flower(root: Path, nodes: Path | None = None, **given: Any) -> RunDirectory:
    """Flower's server app, over shops that keep their states in `nodes`."""
    config = to_run_config(compose_run(OVERRIDES.split()))
    shops, truth, _ = read_corpus(config)
    shop_ids = [shop.shop_id for shop in shops]
    plan = build_plan(config)
    hosts = InProcessHosts()
    devices = HostDevices(config, shops, truth, RunDirectory(nodes or root), "7", tuple(shop_ids), plan.participation)
    hosts.open(shop_ids, devices)
    run_config = {"overrides": OVERRIDES, "num-shops": 2, "run-dir": str(root), **given}
    app = server_app(lambda _: plan, flower_apps.folder_of)
    app(HostGrid(hosts, shop_ids), Context(7, 0, {}, RecordDict(), run_config))
    return RunDirectory(root)


class Kept(logging.Handler):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def logged() -> Iterator[list[str]]:
    """What the block tells Flower's log."""
    log, kept = logging.getLogger("flwr"), Kept()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(kept)
    yield kept.lines
    log.removeHandler(kept)
    log.setLevel(level)


def without_clock(directory: RunDirectory) -> dict[str, Any]:
    """The summary but for the machine's figures, and for what a node says when it is asked which shop it has."""
    found = read_json(directory.summary)
    del found["runtime"]
    for name in ("adapter_up_bytes", "adapter_down_bytes"):
        assert found["traffic"].pop(name) > 0
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.endswith("_seconds")} for row in read_jsonl(path)]


def test_summary_files_and_page_are_those_of_ecc_fed_run(tmp_path: Path) -> None:
    expected = ours(tmp_path / "ours")
    with logged() as told:
        found = under_flower(tmp_path / "flower")
    assert without_clock(found) == without_clock(expected)
    for name in ("samples", "metrics", "updates"):
        assert rows(getattr(found, name)) == rows(getattr(expected, name))
    kept = {path.name for path in expected.root.rglob("*") if path.is_file()} - {"hosts.json", ".hosts.lock"}
    assert {path.name for path in found.root.rglob("*") if path.is_file()} >= kept | {"report.html"}
    assert read_json(found.run)["run_id"] == "7"
    lines = [line for line in told if not line.startswith("Result: ")]
    assert [re.sub(r"[0-9]+\.[0-9] seconds", "N seconds", line) for line in lines] == [
        f"The run's folder: {found.root}",
        "The base was evaluated: 2 shops.",
        "Round 1 of 2: 2 shops, N seconds.",
        "Round 2 of 2: 2 shops, N seconds.",
        f"Summary: {found.summary}  Report: {found.report}",
    ]


def test_what_only_hosts_know_is_a_dash_on_the_page(tmp_path: Path) -> None:
    found = under_flower(tmp_path / "flower")
    table = runtime(load_study([found.root]))
    (row,) = ([cell.text for cell in cells] for cells in table.rows)
    assert row[table.columns.index("Base loads")] == row[table.columns.index("Peak memory")] == "–"
    assert row[table.columns.index("Training steps")] != "–"


def test_nodes_with_folders_of_their_own_are_brought_together_later(tmp_path: Path) -> None:
    with logged() as told:
        found = under_flower(tmp_path / "server", nodes=tmp_path / "nodes")
    assert not found.run.exists() and not found.summary.exists()
    assert told[-1].startswith("What shop_0000, shop_0001 kept lies with the nodes, so there is no summary here.")
    assert f"copy the nodes' folders shops/* to {found.shops}, and give `ecc-fed run --resume {found.root}`" in told[-1]
    shutil.copytree(tmp_path / "nodes" / "shops", found.shops)
    with resumed_run(found, None) as run_id:
        config = to_run_config(compose_run(OVERRIDES.split()))
        simulate(config, found, InProcessHosts(), lambda *_: None, run_id)
        conclude(config, found)
    assert without_clock(found) == without_clock(ours(tmp_path / "ours"))


def test_a_part_of_the_corpus_shops_is_a_run_of_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(flower_end, "write_run", lambda directory, ran, *rest: seen.append(ran))
    monkeypatch.setattr(flower_end, "conclude", lambda *_: None)
    monkeypatch.setattr("ecc_fed.reporting.report.report", lambda *_, **__: None)
    monkeypatch.setattr(flower_end, "ended", lambda _: 0)
    directory = RunDirectory(tmp_path)
    directory.shop("shop_0001").mkdir(parents=True)
    config = to_run_config(compose_run(OVERRIDES.split()))
    flower_end.write_flower_run(directory, "7", config, build_plan(config), ["shop_0001"], None, lambda: 1.0)  # type: ignore[arg-type]
    (ran,) = seen
    assert [shop.shop_id for shop in ran.shops] == ["shop_0001"]
    assert set(ran.truth) == {"shop_0000", "shop_0001"}


def test_the_seconds_of_all_parts_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = flower_apps.save_checkpoint

    def stopped(folder: Path, checkpoint: Checkpoint, run_id: str, **rest: Any) -> None:
        original(folder, checkpoint, run_id, **rest)
        if checkpoint.state.server_round == 1:
            raise UserError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(flower_apps, "save_checkpoint", stopped)
        with pytest.raises(UserError, match="stopped"):
            under_flower(tmp_path)
    (kept,) = (tmp_path / "server").glob("round_*/server.json")
    before = read_json(kept)["seconds"]
    assert before > 0
    found = under_flower(tmp_path, resume="7")
    assert read_json(found.run)["runtime"]["wall_seconds"] > before
    assert without_clock(found) == without_clock(ours(tmp_path.parent / f"{tmp_path.name}_ours"))
