"""Runs beside each other: each is made once, whoever makes it, and nobody outlives who asked for them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, TeacherError
from ecc_fed.core.failed_run import FailedRun, failed_in, keep_failure
from ecc_fed.core.folder_lock import taken
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.runs import attempts, beside, conclusion
from ecc_fed.runs.attempts import PlannedRun
from ecc_fed.runs.beside import Together, check_beside, run_beside
from ecc_fed.runs.study import plan_study, run_study
from tests.runs.test_study import unseen

NAMES = ["none_seed0", "local_seed0", "aggregated_seed0"]


@pytest.fixture
def runs() -> list[PlannedRun]:
    return plan_study("quickstart", ["study.arms=[none,local,aggregated]"])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs as they start, without any host; `local` fails."""
    found: list[str] = []

    @contextmanager
    def open_hosts(config: RunConfig, at_least: int) -> Any:
        yield None

    def simulate(config: RunConfig, directory: RunDirectory, hosts: Any, on_progress: Any, run_id: str) -> None:
        found.append(directory.root.name)
        time.sleep(0.02)  # so that others meet it at work
        if config.arm["name"] == "local":
            raise TeacherError("the cloud is gone")
        write_text(directory.run, "{}")
        write_text(directory.summary, "{}")

    monkeypatch.setattr(attempts, "open_hosts", open_hosts)
    monkeypatch.setattr(attempts, "simulate", simulate)
    monkeypatch.setattr(conclusion, "write_summary", lambda root: None)
    return found


def test_those_of_a_session_make_each_run_once_and_try_none_twice(
    runs: list[PlannedRun], made: list[str], tmp_path: Path
) -> None:
    outcomes: list[tuple[FailedRun, ...]] = []
    workers = [
        threading.Thread(target=lambda: outcomes.append(run_study(runs, tmp_path, unseen, session="together")))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(made) == sorted(NAMES)
    assert [failed.name for outcome in outcomes for failed in outcome] == ["local_seed0"]
    assert run_study(runs, tmp_path, unseen, session="together") == () and len(made) == 3
    assert [failed.name for failed in run_study(runs, tmp_path, unseen, session="another")] == ["local_seed0"]
    assert len(run_study(runs, tmp_path, unseen)) == 1 and made[3:] == ["local_seed0"] * 2


@pytest.mark.parametrize("session", ["together", ""])
def test_a_run_that_another_has_taken_is_left_to_the_end_and_made_if_that_one_has_not(
    runs: list[PlannedRun], made: list[str], tmp_path: Path, session: str
) -> None:
    told: list[tuple[str, str]] = []

    @contextmanager
    def noted(title: str) -> Any:
        yield lambda stage, done, total: told.append((title, stage))

    with ExitStack() as others:
        for name in NAMES[::2]:
            assert others.enter_context(taken(tmp_path / f".{name}.lock"))
        worker = threading.Thread(target=run_study, args=(runs, tmp_path, noted), kwargs={"session": session})
        worker.start()
        wait_for(lambda: (tmp_path / "local_seed0.failed.json").exists())
        time.sleep(0.1)
        assert made == NAMES[1:2] and worker.is_alive(), "it waits for those that others have"
        (tmp_path / NAMES[0]).mkdir()
        write_text(tmp_path / NAMES[0] / "run.json", "{}")
    worker.join(timeout=20)
    assert not worker.is_alive() and made == NAMES[1:], "the one that the other has finished is not made again"
    waiting = "waiting for the process that is at work on it"
    assert told == [("1/3 none_seed0", waiting), ("3/3 aggregated_seed0", waiting)]


def test_what_a_killed_process_was_at_is_taken_by_another_of_its_session(
    runs: list[PlannedRun], made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, killed = attempts.simulate, os.fork()
    if killed == 0:
        monkeypatch.setattr(attempts, "simulate", lambda *given: time.sleep(60))
        run_study(runs, tmp_path, unseen, session="together")
        os._exit(0)

    def while_another_dies(config: RunConfig, directory: RunDirectory, *others: Any) -> None:
        if directory.root.name == NAMES[2]:
            os.kill(killed, signal.SIGKILL)
        here(config, directory, *others)

    monkeypatch.setattr(attempts, "simulate", while_another_dies)
    wait_for(lambda: (tmp_path / NAMES[0] / ".hydra" / "config.yaml").exists())
    first = (tmp_path / NAMES[0] / "claim.json").read_text()
    run_study(runs, tmp_path, unseen, session="together")
    os.waitpid(killed, 0)
    assert made == [*NAMES[1:], NAMES[0]]
    assert (tmp_path / NAMES[0] / "claim.json").read_text() == first, "it goes on, and does not start anew"


def test_a_run_that_another_has_finished_meanwhile_is_not_made_again(
    runs: list[PlannedRun], made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = attempts.simulate

    def while_another_works(config: RunConfig, directory: RunDirectory, *others: Any) -> None:
        here(config, directory, *others)
        write_text(tmp_path / NAMES[1] / "run.json", "{}")

    monkeypatch.setattr(attempts, "simulate", while_another_works)
    assert run_study(runs, tmp_path, unseen, session="together") == ()
    assert made == [NAMES[0], NAMES[2]]


WORKER = """
import os, sys, time
from pathlib import Path
from ecc_fed.runs.beside import end_with_parent
from ecc_fed.cli.stopping import stopping
out, case = Path(sys.argv[1]), sys.argv[2]
with stopping():
    try:
        end_with_parent()
        print("working", flush=True)
        if case == "waits":
            (out / f"{os.getpid()}.pid").write_text("")
            time.sleep(60)
        (out / "none_seed0").mkdir(exist_ok=True)
        (out / "none_seed0" / "run.json").write_text("{}")
    except KeyboardInterrupt:
        (out / f"{os.getpid()}.asked").write_text("")
"""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "own_python", lambda module: ([sys.executable, "-c", WORKER], dict(os.environ)))


def test_what_failed_and_what_was_left_is_told(runs: list[PlannedRun], worker: None, tmp_path: Path) -> None:
    failed = keep_failure(runs[1].directory(tmp_path), "local_seed0", TeacherError("gone"), "now")
    keep_failure(runs[2].directory(tmp_path), "aggregated_seed0", TeacherError("gone"), "before")
    lines: list[str] = []
    together = run_beside([str(tmp_path), "ends"], runs, tmp_path, 2, "now", lines.append)
    assert together == Together((failed,), ("aggregated_seed0",))
    assert lines == ["working"] * 2
    assert failed_in(tmp_path / "aggregated_seed0", "now") is None


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_who_is_stopped_asks_all_to_end_and_waits_for_them(
    runs: list[PlannedRun], worker: None, tmp_path: Path
) -> None:
    def stop() -> None:
        wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell starts its background jobs without one.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=stop).start()
        with pytest.raises(KeyboardInterrupt):
            run_beside([str(tmp_path), "waits"], runs, tmp_path, 2, "now", lambda line: None)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert {path.stem for path in tmp_path.glob("*.asked")} == {path.stem for path in tmp_path.glob("*.pid")}


def test_those_whose_parent_was_killed_end_themselves(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, WORKER, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    parent.kill()
    parent.wait()
    wait_for(lambda: len(list(tmp_path.glob("*.asked"))) == 2)


PARENT = """
import os, sys
from pathlib import Path
from ecc_fed.runs import beside
beside.own_python = lambda module: ([sys.executable, "-c", sys.argv[1]], dict(os.environ))
beside.run_beside([sys.argv[2], "waits"], [], Path(sys.argv[2]), 2, "now", print)
"""


def test_jobs_on_gpus_share_one_ray_in_parts() -> None:
    config = to_run_config(compose_run([]))

    def check(jobs: int, **changes: Any) -> None:
        changed = replace(config, runtime=replace(config.runtime, **changes))
        check_beside([PlannedRun("a", compose_run([]), changed)], jobs)

    check(2)
    check(1, gpus_per_host=1.0)
    with pytest.raises(ConfigError, match=r"every job on the first GPU.*runtime\.ray_address=auto"):
        check(2, gpus_per_host=1.0)
    check(2, gpus_per_host=1.0, ray_address="auto", hosts=1)
    with pytest.raises(ConfigError, match=r"the first run would take all of it. Set runtime\.hosts"):
        check(2, ray_address="auto")
