"""A whole run around fake models: what its hosts are told, and what its directory holds."""

import html
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from ecc_fed.assembly import build
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.probe import without
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import (
    SCHEMA,
    MetricRow,
    RunInfo,
    SampleRow,
    UpdateRow,
    read_record,
    read_rows,
    read_run_info,
    write_record,
    write_rows,
)
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl
from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.formats.files import FileCorpus
from ecc_fed.evolution.evaluation_files import EvaluationRecord
from ecc_fed.evolution.settings import Services
from ecc_fed.evolution.shop_state import StateRecord
from ecc_fed.federation.checkpoint import CheckpointRecord
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.jobs import DeviceFactory, Hosts
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.reporting.report import report
from ecc_fed.reporting.summary import SCHEMA as SUMMARY_SCHEMA
from ecc_fed.reporting.summary import summarise, write_summary
from ecc_fed.runs import hosting, simulation
from ecc_fed.runs.kept_hosts import HostsRecord
from ecc_fed.runs.reading import read_corpus
from ecc_fed.runs.simulation import simulate
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.probe import ProbeReport
from tests.evolution import fakes

SMALL = ["corpus.num_shops=3", "corpus.pairs_per_shop=24", "corpus.test_pairs_per_shop=2", "evolution.server_rounds=2"]


class SeedsOfModel(fakes.CountingModel):
    """Notes the seeds that its adapters are made from."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: set[int] = set()

    def new_adapter(self, seed: int) -> Any:
        self.seeds.add(seed)
        return super().new_adapter(seed)


class WatchedHosts(InProcessHosts):
    """Notes what a run opens them with."""

    def open(  # type: ignore[override]
        self,
        shop_ids: Sequence[str],
        device_factory: DeviceFactory,
        settings: HostSettings,
        kept: Sequence[BatchSize] = (),
    ) -> None:
        self.settings = settings
        self.shop_ids = tuple(shop_ids)
        self.kept = tuple(kept)
        super().open(shop_ids, device_factory, settings, kept)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> SeedsOfModel:
    """Stands for the models of every host that a test opens."""
    model = SeedsOfModel()

    def services(config: RunConfig, budget_share: float = 1.0) -> Services:
        return replace(fakes.services(), end_model=model)

    monkeypatch.setattr(build, "build_services", services)
    monkeypatch.setattr(build, "adapter_writer", lambda config: fakes.write_adapter)
    return model


def run(root: Path, *overrides: str) -> tuple[RunDirectory, WatchedHosts]:
    directory, hosts = RunDirectory(root), WatchedHosts()
    config = to_run_config(compose_run([*SMALL, *overrides]))
    simulate(config, directory, hosts, lambda stage, done, total: None)
    return directory, hosts


def test_the_hosts_are_told_the_runs_limits() -> None:
    config = to_run_config(compose_run([]))
    free = config.runtime
    assert (free.shops_per_batch, free.use_gpu, free.gpu_memory_gib, free.host_memory_gib) == (None, False, None, None)
    limits = {"shops_per_batch": 3, "gpus_per_host": 0.5, "gpu_memory_gib": 8.0, "host_memory_gib": 2.0}
    held = replace(config.runtime, **limits)
    assert (held.shops_per_batch, held.use_gpu, held.gpu_memory_gib, held.host_memory_gib) == (3, True, 8.0, 2.0)


def test_a_run_takes_its_seed_and_its_shops_per_batch_to_its_hosts(tmp_path: Path, model: SeedsOfModel) -> None:
    directory, hosts = run(tmp_path, "seed=7", "runtime.shops_per_batch=2")
    assert model.seeds == {derive_seed(7, "adapter")}
    assert hosts.settings.shops_per_batch == 2
    (report,) = hosts.reports()
    assert (report.shops_per_batch, report.batch_reason) == (2, "runtime.shops_per_batch=2")
    runtime = read_json(directory.run)["runtime"]
    assert (runtime["hosts"], runtime["shops_per_batch"]) == (1, 2)
    assert runtime["batch_reason"] == "runtime.shops_per_batch=2"


def test_a_run_says_what_ran(tmp_path: Path, model: SeedsOfModel) -> None:
    directory, hosts = run(tmp_path, "seed=3", "finetune.steps=2", "evolution.cycles=1")
    info = read_json(directory.run)
    assert (info["arm"], info["seed"], info["server_rounds"], info["cycles"]) == ("local", 3, 2, 1)
    assert tuple(info["shops"]) == hosts.shop_ids
    assert len(info["shops"]) == 3
    metrics = read_jsonl(directory.metrics)
    assert [(row["server_round"], row["shop_id"]) for row in metrics] == [
        (server_round, shop_id) for server_round in (1, 2) for shop_id in info["shops"]
    ]
    assert info["runtime"]["client_steps"] == sum(row["steps"] for row in metrics) == 3 * 2 * 2
    assert [
        (row["server_round"], row["shop_id"], row["num_examples"], row["flags"])
        for row in read_jsonl(directory.updates)
    ] == [(number, shop_id, 2 * 8, []) for number in (1, 2) for shop_id in info["shops"]]
    assert info["failures"] == []
    samples = read_jsonl(directory.samples)
    phases = ("base", "final", "teacher", "human", "other")
    assert [row["phase"] for row in samples] == [phase for _ in range(3) for phase in phases for _ in range(2)]


# What no dataclass of ours describes: peft's and safetensors' own files.
FOREIGN = {
    "adapter.safetensors",
    "adapter_config.json",
    "adapter_model.safetensors",
    "aggregator.safetensors",
    "optimizer.safetensors",
    # A mapping of names to digests, and a lock.
    "digests.json",
    ".hosts.lock",
}
KINDS = {
    "samples.jsonl": SampleRow,
    "metrics.jsonl": MetricRow,
    "egress.jsonl": EgressEntry,
    "sent.jsonl": EgressEntry,
    "evaluation.json": EvaluationRecord,
    "state.json": StateRecord,
    "updates.jsonl": UpdateRow,
    "run.json": RunInfo,
    "server.json": CheckpointRecord,
    "hosts.json": HostsRecord,
}


@pytest.mark.parametrize("arm", ["none", "aggregated"])
def test_every_file_of_a_run_is_read_back_by_its_dataclass(tmp_path: Path, model: SeedsOfModel, arm: str) -> None:
    directory, _ = run(tmp_path / "run", f"arm={arm}")
    found = set()
    for path in directory.root.rglob("*"):
        if path.is_dir() or path.name in FOREIGN:
            continue
        kind = KINDS[path.name]
        found.add(path.name)
        again = tmp_path / "again"
        if path.suffix == ".json":
            write_record(again, read_record(path, kind))
        else:
            write_rows(again, read_rows(path, kind))
        assert again.read_bytes() == path.read_bytes(), path
    assert found == set(KINDS) - ({"state.json"} if arm == "none" else set())
    assert read_run_info(directory.run).schema == SCHEMA
    summary = read_json(write_summary(directory.root))
    assert (summary["arm"], summary["schema"]) == (arm, SUMMARY_SCHEMA)
    report([directory.root])


def test_the_runs_rows_name_the_shops_whose_values_were_stated_and_the_shops_own_rows_do_not(
    tmp_path: Path, model: SeedsOfModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["seed=3", "corpus.test_pairs_per_shop=12", "finetune.steps=1", "evolution.server_rounds=1"]
    corpus = build.build_corpus(to_run_config(compose_run([*SMALL, *few])))
    courier: dict[str, set[str]] = {}
    for shop_id in corpus.shop_ids():
        for about in corpus.truth(shop_id).values():
            courier.setdefault(shop_id, set()).update(
                form for fact in about.facts if fact.kind == "courier" for form in fact.accepted
            )
    text = "；".join(sorted(form for forms in courier.values() for form in forms))
    monkeypatch.setattr(SeedsOfModel, "reply", lambda self, requests: [[text] * len(r.prompts) for r in requests])
    directory, _ = run(tmp_path, *few)
    own = [row for row in read_jsonl(directory.samples) if row["phase"] in ("base", "final")]
    told = [(row["shop_id"], fact) for row in own for fact in row["facts"]]
    asked = [(shop_id, fact["other_shop"]) for shop_id, fact in told if fact["kind"] == "courier"]
    assert asked and all(others == sorted(set(courier) - {shop_id}) for shop_id, others in asked)
    assert all(fact["other_shop"] == [] for _, fact in told if fact["scope"] == "platform")
    for shop_id in courier:
        kept = read_jsonl(directory.shop(shop_id) / "evaluation_final/samples.jsonl")
        assert not any(fact.get("other_shop") for row in kept for fact in row["facts"])


def _said(word: str) -> list[dict[str, str]]:
    return [{"role": "customer", "text": f"{word}有货吗"}, {"role": "agent", "text": f"亲，{word}现在有货的"}]


def test_a_run_tells_what_was_lost_on_reading_its_corpus(
    tmp_path: Path, model: SeedsOfModel, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[Any] = [
        {"shop": f"s{i % 2}", "session": f"n{i}", "turns": _said(chr(0x4E00 + i * 97) * 9)} for i in range(20)
    ]
    broken = {"turns": [{"role": "boss", "text": "哈哈"}]}
    lines = [*lines[:7], broken, *lines[7:], lines[0] | {"turns": lines[1]["turns"]}]
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "mine.jsonl").write_text(f"{text}\n{{\n", encoding="utf-8")
    given = ["corpus=jsonl", f"corpus.path={tmp_path / 'mine.jsonl'}", "partition=natural", "corpus.num_shops=2"]
    config = to_run_config(compose_run([*given, "evolution.server_rounds=1"]))
    directory = RunDirectory(tmp_path / "run")
    simulate(config, directory, WatchedHosts(), lambda stage, done, total: None)
    reading = read_run_info(directory.run).reading
    told = build.build_corpus(config).report()  # type: ignore[attr-defined]  # what `ecc-fed corpus` tells
    assert reading is not None
    assert {name: (step.read, step.kept, step.dropped) for name, step in reading.steps.items()} == {
        name: (step.read, step.kept, step.dropped)
        for name in ("lines", "turns", "sessions", "placed", "pairs")
        if (step := getattr(told, name))
    }
    assert reading.steps["lines"].dropped == {"broken": 2} and reading.steps["sessions"].dropped == {"same_id": 1}
    assert [line.number for line in reading.broken_lines] == [8, 23]
    page = report([directory.root], console=Console(width=200)).read_text()
    shown = capsys.readouterr().out
    for part in ("of 23 lines 2 dropped (broken 2)", "same_id 1", "the first broken line is 8 (turn 1 has role 'boss'"):
        assert part in shown
    assert "Line 23: not JSON" in page and "same_id 1" in page and "turn 1 has role" in page
    # What the split has to do with time is told wherever the corpus is.
    assert reading.order == told.order and "taken for that of time" in reading.order
    assert reading.order in html.unescape(page)
    assert reading.order in summarise(directory.root)["notes"]


def test_a_corpus_that_counted_its_shops_builds_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"turns": _said(chr(0x4E00 + i * 97) * 9)}) for i in range(9)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    config = to_run_config(
        compose_run(["corpus=jsonl", f"corpus.path={tmp_path / 'mine.jsonl'}", "partition=iid", "corpus.num_shops=1"])
    )
    built: list[str] = []
    build_shop = FileCorpus._shop

    def noted(self: FileCorpus, placed: Any, shop_id: str, *rest: Any) -> Any:
        built.append(shop_id)
        return build_shop(self, placed, shop_id, *rest)

    monkeypatch.setattr(FileCorpus, "_shop", noted)
    (shop,), _, reading = read_corpus(config)
    assert built == [shop.shop_id] and reading is not None


def test_a_teacher_that_is_not_there_is_found_before_anything_starts(tmp_path: Path) -> None:
    gone = ["teacher=openai_compatible", "teacher.base_url=http://127.0.0.1:9/v1", "gateway.first_delay_seconds=0"]
    no_hosts = cast(Hosts, None)
    with pytest.raises(UserError, match=r"gives no answer: unavailable, no connection, or it broke: .*127\.0\.0\.1:9"):
        simulate(to_run_config(compose_run(gone)), RunDirectory(tmp_path), no_hosts, lambda *_: None)
    with pytest.raises(ConfigError, match=r"gateway\.max_cost_usd=1 bounds nothing"):
        unpriced = to_run_config(compose_run([*gone, "gateway.max_cost_usd=1"]))
        simulate(unpriced, RunDirectory(tmp_path), no_hosts, lambda *_: None)
    kept = read_jsonl(RunDirectory(tmp_path).probes)
    assert [row["spent"]["requests"] for row in kept] == [2], "what was sent counts; nothing else was begun"
    assert [path.name for path in tmp_path.iterdir()] == ["probes.jsonl"]


def test_what_probes_have_cost_is_off_the_budget_of_the_hosts(
    tmp_path: Path, model: SeedsOfModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RunConfig] = []
    build_devices = hosting.build_devices

    def noted(config: RunConfig, *rest: Any) -> Any:
        given.append(config)
        return build_devices(config, *rest)

    def probes(config: RunConfig, keep: Any) -> None:
        keep(ProbeReport(Spending(2, 9, 0.25), (EgressEntry("(probe)", 0, "cloud_teacher", "up", "query", 5),)))

    monkeypatch.setattr(hosting, "build_devices", noted)
    monkeypatch.setattr(simulation, "probe_teacher", probes)
    config = to_run_config(compose_run([*SMALL, "gateway.max_requests=1000", "arm=none"]))
    for times in (1, 2):
        simulate(config, RunDirectory(tmp_path), WatchedHosts(), lambda stage, done, total: None, "mine")
        assert given[-1].gateway.max_requests == 1000 - 2 * times, "the probes of every start"


def test_what_the_probe_used_is_off_the_budget() -> None:
    config = to_run_config(compose_run(["gateway.max_requests=3", "gateway.max_cost_usd=1"]))
    left = without(config, Spending(2, 9, 0.25)).gateway
    assert (left.max_requests, left.max_tokens, left.max_cost_usd) == (1, None, 0.75)
    assert without(config, Spending(5, 9, 2.0)).gateway.max_requests == 0
