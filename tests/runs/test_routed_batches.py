"""Whom a shop's router asks about depends on the shop alone, not on who works beside it."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecc_fed.assembly import build
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.rows import MetricRow, SampleRow, read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.settings import Services
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.run_folder import new_run
from ecc_fed.runs.simulation import simulate
from experiments.reliability.equal import content
from tests.evolution import fakes


def lived(root: Path, shops_per_batch: int) -> RunDirectory:
    composed = compose_run(
        [
            "corpus.num_shops=3",
            "corpus.pairs_per_shop=48",
            "corpus.test_pairs_per_shop=4",
            "evolution.server_rounds=3",
            "evolution.reference=routed",
            "evolution.examples=nearest",
            "finetune.steps=4",
            f"runtime.shops_per_batch={shops_per_batch}",
        ]
    )
    directory = RunDirectory(root)
    with new_run(directory, to_yaml(composed), "x") as run_id:
        simulate(to_run_config(composed), directory, InProcessHosts(), lambda *_: None, run_id)
    return directory


def test_the_same_queries_are_asked_about_in_any_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def services(config: RunConfig, budget_share: float = 1.0) -> Services:
        return fakes.services()

    monkeypatch.setattr(build, "build_services", services)
    monkeypatch.setattr(build, "adapter_writer", lambda config: fakes.write_adapter)
    monkeypatch.setattr("ecc_fed.runs.written.adapter_writer", lambda config: fakes.write_adapter)
    alone, together = (lived(tmp_path / str(batch), batch) for batch in (1, 3))
    timeless = {"serve_seconds": 0.0, "train_seconds": 0.0}
    found = [
        [replace(row, **timeless) for row in read_rows(run.metrics, MetricRow)]  # type: ignore[arg-type]
        for run in (alone, together)
    ]
    assert found[0] == found[1]
    asked = [sum(row.teacher_requests for row in found[0] if row.server_round == number) for number in (1, 2, 3)]
    assert asked[0] == 33 > asked[2] > 0, "the router had something to decide"
    assert read_rows(alone.samples, SampleRow) == read_rows(together.samples, SampleRow)
    assert content(alone.egress) == content(together.egress)
