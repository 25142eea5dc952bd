"""A run's tracker: what it is handed, what becomes of it when it fails, and that no text leaves by it."""

import json
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.build import build_tracker
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.rows import CloudCalls, MetricRow, read_rows, read_run_info, write_record, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.reporting.numbers import numbers_of
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.summary import summarise_run
from ecc_fed.runs import tracking
from ecc_fed.runs.tracking import track
from tests.reporting.conftest import write_run

# Stands wherever a run holds text from outside; as an id it looks like one of our own words.
MARK = "markedtext"
STORES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "trackio": "trackio", "wandb": "wandb"}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return to_run_config(compose_run([]))


@pytest.fixture
def marked(tmp_path: Path) -> RunDirectory:
    """A finished run whose every text from outside has the mark in it."""
    root = write_run(
        tmp_path / "aggregated_seed0", "aggregated", 0,
        queries=6, world=MARK, shop_names=[f"{MARK}_{number}" for number in range(3)], others=True,
    )  # fmt: skip
    directory = RunDirectory(root)
    rows = [replace(row, teacher_errors=(MARK,)) for row in read_rows(directory.metrics, MetricRow)]
    write_rows(directory.metrics, rows)
    info = read_run_info(directory.run)
    write_record(directory.run, replace(info, cloud={"base": CloudCalls(3, 0, 1, 9, 9, 0.5, {MARK: 1})}))
    assert MARK in directory.samples.read_text() and MARK in directory.metrics.read_text()
    return directory


def by(config: RunConfig, name: str, **settings: Any) -> RunConfig:
    return replace(config, tracker={"_target_": f"tests.tracking.fakes.{name}", **settings})


def expected(directory: RunDirectory) -> dict[tuple[str, int], float]:
    run = load_run(directory.root)
    return {(number.name, number.server_round): number.value for number in numbers_of(run, summarise_run(run))}


def test_a_tracker_is_handed_every_number_and_the_name_in_another_process(marked: RunDirectory) -> None:
    (marked.tracker / "of a killed process").mkdir(parents=True)
    own = compose_run(["tracker=own"], [str(Path(__file__).parent.parent / "own_parts" / "conf")])
    track(to_run_config(own, ["tests.own_parts"]), marked)
    told = json.loads((marked.tracker / "told.json").read_text())
    assert told["name"] == "aggregated_seed0" and told["pid"] != os.getpid()
    assert "" not in told["path"]
    found = {(number["name"], number["server_round"]): number["value"] for number in told["numbers"]}
    assert found == expected(marked) and len(found) == len(told["numbers"]) > 100


def test_no_tracker_costs_nothing(config: RunConfig, tmp_path: Path) -> None:
    assert not config.tracker and build_tracker(config) is None
    track(config, RunDirectory(tmp_path / "no run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"), [("Raising", r"RuntimeError: the store is\u001b[31m broken"), ("Dying", "it ended with 7")]
)
def test_a_tracker_that_fails_is_said_once_by_name_and_leaves_nothing(
    name: str, reason: str, config: RunConfig, marked: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        track(by(config, name), marked)
    assert [record.getMessage() for record in caplog.records] == [
        f"{marked.root}: its tracker {name} kept nothing: {reason}"
    ]
    assert not marked.tracker.exists()


def test_a_tracker_that_hangs_is_ended_with_all_that_it_started(
    config: RunConfig,
    marked: RunDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    note = tmp_path / "child"
    wait = tracking.subprocess.Popen.communicate

    def until_noted(process: Any, handed: str | None = None, timeout: float | None = None) -> Any:
        try:
            while True:
                try:
                    return wait(process, handed, 0.2)
                except tracking.subprocess.TimeoutExpired:
                    handed = None  # it is sent
                    if note.is_file() and note.read_text():
                        raise
        finally:
            assert timeout == 300.0

    monkeypatch.setattr(tracking.subprocess.Popen, "communicate", until_noted)
    track(by(config, "Hanging", note=str(note)), marked)
    assert "its tracker Hanging kept nothing: it did not end in 300 seconds" in caplog.text
    deadline = time.monotonic() + 10
    while Path(f"/proc/{note.read_text()}").exists():
        stat = Path(f"/proc/{note.read_text()}/stat")
        if stat.exists() and stat.read_text().split()[2] == "Z":  # ended, and nobody has asked how
            break
        assert time.monotonic() < deadline, "the tracker's own child lives on"
        time.sleep(0.05)


def test_what_a_tracker_lacks_is_told_before_the_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="needs the package missing"):
        build_tracker(by(config, "Missing"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, module in STORES.items():
        with pytest.raises(ConfigError, match=rf"tracker={name} needs the package {module}.*ecc_fed\[{name}\]"):
            build_tracker(to_run_config(compose_run([f"tracker={name}"])))


@pytest.mark.parametrize("name", STORES)
def test_a_store_holds_the_runs_numbers_and_no_text_of_a_dialogue_shop_or_error(
    name: str, marked: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(STORES[name], reason=f"the extra {name} is not installed")
    # What would send the numbers away is not looked at.
    elsewhere = {"MLFLOW_TRACKING_URI": "http://192.0.2.1", "TRACKIO_SPACE_ID": "a/b", "WANDB_MODE": "online"}
    for variable, value in elsewhere.items():
        monkeypatch.setenv(variable, value)
    track(to_run_config(compose_run([f"tracker={name}"])), marked)
    assert not caplog.records, caplog.text
    files = [path for path in marked.tracker.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert MARK.encode() not in kept and MARK not in "".join(map(str, files)).replace(str(marked.root), "")
    wanted = expected(marked)
    if name == "tensorboard":  # its groups are what stands before a slash
        wanted = {(each.replace(".", "/", 1), of_round): value for (each, of_round), value in wanted.items()}
    if name in READERS:
        found = READERS[name](marked.tracker)
        assert found == pytest.approx(wanted, rel=1e-6)  # event files hold 32 bits
    else:
        assert {each for each, _ in wanted if each.encode() not in kept} == set()


def _events(folder: Path) -> dict[tuple[str, int], float]:
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.glob("events.*")
    content, found = path.read_bytes(), {}
    while content:
        size = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + size])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        content = content[16 + size :]
    return found


def _mlflow(folder: Path) -> dict[tuple[str, int], float]:
    import sqlite3

    with sqlite3.connect(folder / "mlflow.sqlite") as opened:
        return {(key, step): value for key, step, value in opened.execute("SELECT key, step, value FROM metrics")}


def _trackio(folder: Path) -> dict[tuple[str, int], float]:
    import sqlite3

    (path,) = folder.glob("*.db")
    with sqlite3.connect(path) as opened:
        rows = opened.execute("SELECT step, metrics FROM metrics").fetchall()
    return {(name, step): value for step, kept in rows for name, value in json.loads(kept).items()}


READERS = {"tensorboard": _events, "mlflow": _mlflow, "trackio": _trackio}
