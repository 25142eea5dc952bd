"""Runs of a search, without any host: what each scores is a function of its settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.run_directory import RunDirectory, read_json, write_json
from ecc_fed.runs import attempts, conclusion

Score = Callable[[RunConfig], float | None]


def peak(config: RunConfig) -> float:
    """Best at 30 steps, whatever the rate."""
    return 1.0 - abs(config.finetune.steps - 30) / 100 - config.finetune.learning_rate


def fake_runs(monkeypatch: pytest.MonkeyPatch, score: Score) -> list[str]:
    """The names of the runs as they start."""
    started: list[str] = []

    @contextmanager
    def open_hosts(config: RunConfig, at_least: int) -> Iterator[None]:
        yield None

    def simulate(config: RunConfig, directory: RunDirectory, hosts: Any, on_progress: Any, run_id: str) -> None:
        started.append(directory.root.name)
        write_json(directory.run, {"score": score(config)})

    def write_summary(root: Path) -> None:
        measured = read_json(RunDirectory(root).run)["score"]
        write_json(RunDirectory(root).summary, {"score": measured, "other": {"mean": 1.0}})

    monkeypatch.setattr(attempts, "open_hosts", open_hosts)
    monkeypatch.setattr(attempts, "simulate", simulate)
    monkeypatch.setattr(conclusion, "write_summary", write_summary)
    return started
