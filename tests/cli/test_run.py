"""The exit code of `ecc-fed run`, of one run and of a sweep."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli import run
from ecc_fed.cli.main import main
from ecc_fed.core.errors import EccError, ModelError
from ecc_fed.core.run_directory import RunDirectory


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The seeds of the runs that were started, without any host; seeds 1 and 2 fail, 2 as a user's mistake."""
    seeds: list[int] = []

    @contextmanager
    def open_hosts(config: RunConfig) -> Iterator[None]:
        yield None

    def simulate(config: RunConfig, directory: RunDirectory, hosts: None, on_progress: object) -> None:
        seeds.append(config.seed)
        if config.seed == 1:
            raise EccError("the cloud is gone")
        if config.seed == 2:
            raise ModelError("there is no such model")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "open_hosts", open_hosts)
    monkeypatch.setattr(run, "simulate", simulate)
    monkeypatch.setattr(run, "write_summary", lambda root: None)
    monkeypatch.setattr("ecc_fed.reporting.report.report", lambda roots, console: None)
    return seeds


@pytest.mark.parametrize(("seeds", "code"), [("0,3", 0), ("0,1", 1), ("1,0", 1), ("2,1,0", 2), ("0,1,2", 2)])
def test_a_sweep_goes_on_after_a_failed_job_and_exits_as_its_worst(
    seeds: str, code: int, made: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", f"seed={seeds}"]) == code
    assert made == [int(seed) for seed in seeds.split(",")]
    shown = capsys.readouterr().err
    assert ("the cloud is gone" in shown) == (1 in made)
    assert ("there is no such model" in shown) == (2 in made)


@pytest.mark.parametrize(("seed", "code"), [(0, 0), (1, 1), (2, 2)])
def test_a_single_run_exits_as_its_error_says(seed: int, code: int, made: list[int]) -> None:
    assert main(["run", f"seed={seed}"]) == code
    assert made == [seed]
