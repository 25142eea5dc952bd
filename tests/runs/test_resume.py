"""A run that was killed, anywhere, goes on and ends equal to one that never was."""

import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from omegaconf import DictConfig

from ecc_fed.assembly import build
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.rows import SCHEMA, Phase, SampleRow, read_record, read_rows, read_run_info, write_record
from ecc_fed.core.run_directory import RunDirectory, read_json
from ecc_fed.evolution.settings import Services
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.privacy.redaction import NoRedaction
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.kept_hosts import HostsRecord
from ecc_fed.runs.run_folder import new_run, resumed_run
from ecc_fed.runs.simulation import simulate
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.settings import GatewaySettings
from experiments.reliability.equal import differences
from tests.evolution import fakes
from tests.teacher.fakes import ScriptedTeacher

SMALL = [
    "corpus.num_shops=3",
    "corpus.pairs_per_shop=16",
    "corpus.test_pairs_per_shop=2",
    "evolution.server_rounds=3",
    "finetune.steps=2",
]
ARMS = {
    "local": [],
    "aggregated": ["arm=aggregated", "privacy.keep_text=true"],
    "personalized": ["arm=personalized", "arm.personal_rounds=1"],
    "retrieval": ["arm=retrieval"],
    "cloud": ["arm=cloud"],
    "centralized": ["arm=centralized"],
    "distilled": ["arm=distilled", "arm.queries.count=5", "arm.public_share=0.5"],
    "late_shops": ["arm=aggregated", "participation.late_share=0.4", "participation.late_round=2"],
    "local_with_examples": ["arm=local_with_examples"],
    "routed": ["evolution.reference=routed", "evolution.examples=nearest", "corpus.pairs_per_shop=48"],
}


class Cloud(ScriptedTeacher):
    """Every prompt that reaches it, from whatever process, is a line of `path`."""

    remote = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        with self._path.open("a") as file:
            file.writelines(f"{prompt.digest}\n" for prompt in prompts)
        return super().complete(prompts, timeout_seconds)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Digests of what the cloud was asked."""
    return tmp_path / "asked"


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch, asked: Path) -> None:
    def services(config: RunConfig, budget_share: float = 1.0) -> Services:
        ledger = MemoryLedger()
        gateway = Gateway(Cloud(asked), ledger, NoRedaction(), GatewaySettings(max_parallel=1))
        given = replace(fakes.services(), end_model=fakes.MixingModel())
        given = replace(given, answering=build.build_answering(config))
        return replace(given, gateway=gateway, ledger=ledger, journal=gateway.journal)

    monkeypatch.setattr(build, "build_services", services)
    monkeypatch.setattr(build, "adapter_writer", lambda config: fakes.write_adapter)
    monkeypatch.setattr("ecc_fed.runs.written.adapter_writer", lambda config: fakes.write_adapter)


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process has written is there; waiting for the disk is for machines that lose power."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@functools.cache
def small(*overrides: str) -> DictConfig:
    """Composed once, since every test here starts several runs of the same settings."""
    return compose_run([*SMALL, *overrides])


@functools.cache
def written(*overrides: str) -> str:
    return to_yaml(small(*overrides))


def start(root: Path, *overrides: str) -> None:
    composed = small(*overrides)
    directory = RunDirectory(root)
    with new_run(directory, written(*overrides), "x") as run_id:
        simulate(to_run_config(composed), directory, InProcessHosts(), lambda *_: None, run_id)
        write_summary(root)


def go_on(root: Path, *overrides: str) -> None:
    composed = small(*overrides)
    directory = RunDirectory(root)
    with resumed_run(directory, written(*overrides)) as run_id:
        if not directory.run.is_file():
            simulate(to_run_config(composed), directory, InProcessHosts(), lambda *_: None, run_id)
        write_summary(root)


def killed(root: Path, at: int, *overrides: str, of: str = "") -> int:
    """Starts a run in a process of its own that dies at its rename number `at`; returns how many there were.

    With `of` only renames to that name count.

    Everything that is kept is written aside and renamed, so between two renames lies every state that a kill can leave.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        renames, counting = 0, threading.Lock()
        originals = {name: getattr(Path, name) for name in ("rename", "replace")}

        def counted(name: str):
            def move(self: Path, target: Path) -> Path:
                nonlocal renames
                if not Path(target).name.endswith(of):
                    return originals[name](self, target)
                with counting:  # shops rename in threads of their own: what was counted before the last is done
                    renames += 1
                    if renames == at:
                        os._exit(9)
                    return originals[name](self, target)

            return move

        for name in originals:
            setattr(Path, name, counted(name))
        try:
            start(root, *overrides)
            os.write(writer, str(renames).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return int(told or -1)


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_that_was_killed_anywhere_ends_equal_to_one_never_stopped(tmp_path: Path, arm: str) -> None:
    whole = tmp_path / "whole"
    renames = killed(whole, -1, *ARMS[arm])
    assert renames > 100
    points = random.Random(arm).sample(range(2, renames + 1), 5)
    for point in sorted({*points, renames - 1, renames}):
        root = tmp_path / str(point)
        assert killed(root, point, *ARMS[arm]) == -1
        go_on(root, *ARMS[arm])
        assert differences(whole, root) == [], f"killed at rename {point} of {renames}"
        assert not list(root.rglob("*.partial"))


@pytest.mark.parametrize("work", ["evaluation_base", "round_0001", "round_0003", "evaluation_final"])
@pytest.mark.parametrize(("saves", "shops_per_batch"), [(1, 3), (2, 3), (1, 2)])
def test_a_batch_of_which_some_shops_were_saved_is_done_again_by_all_of_them(
    tmp_path: Path, work: str, saves: int, shops_per_batch: int, asked: Path
) -> None:
    given = ["arm=aggregated", f"runtime.shops_per_batch={shops_per_batch}"]
    whole, root = tmp_path / "whole", tmp_path / "cut"
    start(whole, *given)
    expected = asked.read_text().splitlines()
    asked.unlink()
    assert killed(root, saves + 1, *given, of=work) == -1
    assert len(list(root.glob(f"shops/*/{work}"))) == saves
    go_on(root, *given)
    assert differences(whole, root) == []
    assert sorted(asked.read_text().splitlines()) == sorted(expected), "nothing was asked twice"
    assert not list(root.rglob("open_calls.jsonl"))


def test_a_run_goes_on_in_the_batches_that_its_hosts_chose_at_its_start(tmp_path: Path) -> None:
    start(tmp_path / "whole", "runtime.shops_per_batch=2")
    kept = read_record(tmp_path / "whole" / "server" / "hosts.json", HostsRecord)
    assert kept.hosts == (BatchSize(2, "runtime.shops_per_batch=2"),)
    stop_in_round(tmp_path / "cut", 2)
    path = tmp_path / "cut" / "server" / "hosts.json"
    assert read_record(path, HostsRecord).hosts[0].size == 3
    kept = HostsRecord(SCHEMA, (BatchSize(2, "as little as there was"),))
    write_record(path, kept)
    go_on(tmp_path / "cut")
    assert read_record(path, HostsRecord) == kept
    runtime = read_run_info(RunDirectory(tmp_path / "cut").run).runtime
    assert (runtime.shops_per_batch, runtime.batch_reason) == (2, "as at the start of the run: as little as there was")


def test_what_differs_is_found(tmp_path: Path) -> None:
    start(tmp_path / "a", "arm=none")
    start(tmp_path / "b", "arm=none", "seed=1")
    found = differences(tmp_path / "a", tmp_path / "b")
    assert any(line.startswith("samples.jsonl differs") for line in found)
    assert differences(tmp_path / "a", tmp_path / "a") == []
    (tmp_path / "b" / "samples.jsonl").unlink()
    assert "samples.jsonl is in the first alone" in differences(tmp_path / "a", tmp_path / "b")


def stop_in_round(root: Path, server_round: int, *overrides: str) -> None:
    """Stopped by whoever waits, once the first shop of a round has answered."""
    composed = small(*overrides)
    directory = RunDirectory(root)

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage.startswith(f"round {server_round} of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_run(directory, written(*overrides), "x") as run_id:
        simulate(to_run_config(composed), directory, InProcessHosts(), on_progress, run_id)
    for thread in threading.enumerate():  # a process that ends takes them along
        if thread.name.startswith("shop-"):
            thread.join(timeout=20)


def test_the_seconds_of_all_parts_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_round(tmp_path, 3)
    record = read_json(tmp_path / "server" / "round_0002" / "server.json")
    assert record["seconds"] > 0
    clock = iter(range(1000, 10**6, 1000))
    monkeypatch.setattr("ecc_fed.runs.simulation.time.perf_counter", lambda: float(next(clock)))
    go_on(tmp_path)
    info = read_run_info(RunDirectory(tmp_path).run)
    assert (info.runtime.wall_seconds - record["seconds"]) % 1000 == pytest.approx(0, abs=1e-6)
    assert [row.server_round for row in info.aggregation] == []


def test_another_corpus_is_refused_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_round(tmp_path, 2)
    original = build.build_corpus

    def other(config: RunConfig) -> object:
        return original(replace(config, corpus={**config.corpus, "pairs_per_shop": 17}))

    monkeypatch.setattr("ecc_fed.runs.reading.build_corpus", other)
    with pytest.raises(CorpusError, match="the corpus is not what it was when the run started"):
        go_on(tmp_path)


def test_a_damaged_shop_costs_that_shop_alone(tmp_path: Path) -> None:
    stop_in_round(tmp_path, 3)
    for path in (tmp_path / "shops" / "shop_0001").glob("round_*/state.json"):
        path.write_text(path.read_text(encoding="utf-8").replace('"served"', '"sorved"'), encoding="utf-8")
    go_on(tmp_path)
    info = read_run_info(RunDirectory(tmp_path).run)
    assert {failure.shop_id for failure in info.failures} == {"shop_0001"}
    assert "its SHA-256 is another" in info.failures[0].reason
    samples = read_rows(tmp_path / "samples.jsonl", SampleRow)
    assert {row.phase for row in samples if row.shop_id == "shop_0001"} == {"base"}
    assert {row.phase for row in samples if row.shop_id == "shop_0000"} == set(get_args(Phase))


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_real_run_killed_by_the_system_goes_on(tmp_path: Path, hosts: int) -> None:
    program = [sys.executable, "-m", "ecc_fed.cli.main", "run"]
    given = [
        "arm=aggregated",
        "corpus.num_shops=2",
        "corpus.pairs_per_shop=24",
        "corpus.test_pairs_per_shop=4",
        "evolution.server_rounds=3",
        "finetune.steps=2",
        "decoding.max_new_tokens=8",
        f"runtime.hosts={hosts}",
    ]
    subprocess.run([*program, *given, f"hydra.run.dir={tmp_path / 'whole'}"], check=True, capture_output=True)
    root = tmp_path / "killed"
    with subprocess.Popen([*program, *given, f"hydra.run.dir={root}"], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(root.glob("server/round_0001")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert not (root / "run.json").exists()
    done = subprocess.run([*program, "--resume", str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert differences(tmp_path / "whole", root) == []
