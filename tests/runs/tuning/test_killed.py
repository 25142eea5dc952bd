"""A search that the system killed, anywhere, goes on and ends equal to one that never was."""

import os
import random
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.runs import attempts, conclusion
from ecc_fed.runs.tuning import search
from tests.runs.tuning.fakes import fake_runs, peak
from tests.runs.tuning.test_search import planned, run

pytest.importorskip("optuna", reason="the extra tune is not installed")
TRIALS = 3
# So many kills, of some two hundred that differ.
POINTS = 9
# (trial, its overrides, its result, what it failed of), and the config of its run
Told = list[tuple[Any, ...]]


def score(config: RunConfig) -> float | None:
    if config.finetune.steps == 10:
        raise RunDirectoryError("a number is not finite")
    return peak(config)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No host is opened, the same overrides are composed once, and no write waits for the disk: a kill loses none."""
    from sqlalchemy import Engine, event

    fake_runs(monkeypatch, score)
    composed = cache(lambda overrides: compose_run(overrides))
    monkeypatch.setattr(search, "compose_run", lambda overrides, folders: composed(tuple(overrides)))

    def unsynced(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", unsynced)
    yield
    event.remove(Engine, "connect", unsynced)


def told(found: search.Search, out: Path) -> Told:
    return [
        (each.trial, each.overrides, each.error, (out / each.trial.name / ".hydra" / "config.yaml").read_text())
        for each in run(found, out, TRIALS)
    ]


def killed(found: search.Search, out: Path, at: int) -> int:
    """Searches in a process of its own that is killed at its step number `at`; returns how many steps there were.

    A step is a file's rename into its place, or a statement or commit of the trials' storage: what a kill leaves
    changes at these alone.
    """
    from sqlalchemy import Engine, event

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        steps = 0

        def step(*given: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGKILL)

        def counted(name: str) -> Any:
            original = getattr(Path, name)

            def move(self: Path, target: Path) -> Path:
                step()
                return original(self, target)

            return move

        try:
            for name in ("rename", "replace"):
                setattr(Path, name, counted(name))
            for name in ("before_cursor_execute", "commit"):
                event.listen(Engine, name, step)
            run(found, out, TRIALS)
            os.write(writer, str(steps).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        counted_steps = pipe.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == (not counted_steps)
    return int(counted_steps or -1)


def test_a_search_that_was_killed_anywhere_ends_equal_to_one_never_stopped(tmp_path: Path) -> None:
    found = planned("seed=1")
    whole = told(found, tmp_path / "whole")
    assert {each.result is None for each, *_ in whole} == {True, False}, "one of them fails"
    steps = killed(found, tmp_path / "counted", -1)
    points = random.Random(0).sample(range(1, steps), min(POINTS, steps - 1))
    for point in sorted({*points, steps}):
        out = tmp_path / str(point)
        assert killed(found, out, point) == -1
        assert told(found, out) == whole, f"killed at step {point} of {steps}"


def test_what_fails_after_its_run_is_told_as_failed_whether_it_was_stopped_there_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_summary(root: Path) -> None:
        raise RunDirectoryError("a file of the run is broken")

    def stopped(*given: Any) -> None:
        attempts.attempt(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(conclusion, "write_summary", write_summary)
    found = planned("seed=1")
    whole = told(found, tmp_path / "whole")
    broken = "a file of the run is broken"
    assert [error for *_, error, _ in whole] == [broken, "a number is not finite", broken]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(search, "attempt", stopped)
        told(found, tmp_path / "out")
    assert told(found, tmp_path / "out") == whole
