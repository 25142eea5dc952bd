"""`ecc-fed run` without any host."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli import run
from ecc_fed.core.errors import EccError, ModelError
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs import conclusion


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The seeds of the runs that were started, without any host; seeds 1 and 2 fail, 2 as a user's mistake."""
    seeds: list[int] = []

    @contextmanager
    def open_hosts(config: RunConfig, at_least: int) -> Iterator[None]:
        yield None

    def simulate(config: RunConfig, directory: RunDirectory, hosts: None, on_progress: object, run_id: str) -> None:
        seeds.append(config.seed)
        if config.seed == 1:
            raise EccError("the cloud is gone")
        if config.seed == 2:
            raise ModelError("there is no such model")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "open_hosts", open_hosts)
    monkeypatch.setattr(run, "simulate", simulate)
    monkeypatch.setattr(conclusion, "write_summary", lambda root: None)
    monkeypatch.setattr("ecc_fed.reporting.report.report", lambda roots, output=None, console=None: None)
    return seeds
