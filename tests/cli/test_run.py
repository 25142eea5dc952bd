"""The exit code of `ecc-fed run`, of one run and of a sweep."""

from pathlib import Path

import pytest

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli import run
from ecc_fed.cli.main import main
from ecc_fed.core.errors import EccError
from ecc_fed.core.run_directory import RunDirectory


@pytest.mark.parametrize(("seeds", "code"), [("0,3", 0), ("0,1", 1), ("1,0", 1), ("2,1,0", 2), ("0,1,2", 2)])
def test_a_sweep_goes_on_after_a_failed_job_and_exits_as_its_worst(
    seeds: str, code: int, made: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", f"seed={seeds}"]) == code
    assert made == [int(seed) for seed in seeds.split(",")]
    shown = capsys.readouterr().err
    assert ("the cloud is gone" in shown) == (1 in made)
    assert ("there is no such model" in shown) == (2 in made)


def test_a_sweep_ends_with_one_report_over_the_runs_that_were_finished(
    made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[list[str], str, bool]] = []
    stub = run.simulate

    def simulate(config: RunConfig, directory: RunDirectory, *others: object) -> None:
        stub(config, directory, *others)
        directory.run.write_text("{}")

    def report(roots: list[Path], output: Path | None = None, console: object = None) -> None:
        names = [str(root.relative_to(tmp_path)) for root in roots]
        told.append((names, "" if output is None else str(output.relative_to(tmp_path)), console is not None))

    monkeypatch.setattr(run, "simulate", simulate)
    monkeypatch.setattr("ecc_fed.reporting.report.report", report)
    assert main(["run", "-m", "hydra.sweep.dir=s", "arm=none", f"runtime.ray_address={'x' * 300}", "seed=0,1,3"]) == 1
    assert told == [
        (["s/0_none"], "", False),
        (["s/2_none"], "", False),
        (["s/0_none", "s/2_none"], "s", True),
    ]


@pytest.mark.parametrize(("seed", "code"), [(0, 0), (1, 1), (2, 2)])
def test_a_single_run_exits_as_its_error_says(seed: int, code: int, made: list[int]) -> None:
    assert main(["run", f"seed={seed}"]) == code
    assert made == [seed]


def test_a_run_that_is_reported_although_its_teacher_was_gone_exits_with_1(
    made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def ended(directories: list[RunDirectory]) -> int:
        asked.extend(directory.root for directory in directories)
        return 1

    monkeypatch.setattr(run, "ended", ended)
    assert main(["run", "hydra.run.dir=mine", "seed=0"]) == 1
    assert main(["run", "-m", "hydra.sweep.dir=s", "seed=0,3"]) == 1
    assert [root.name for root in asked][:1] == ["mine"] and len(asked) == 3


def test_runs_and_sweeps_of_one_second_get_a_folder_each(made: list[int], tmp_path: Path) -> None:
    for _ in range(3):
        assert main(["run", "hydra.run.dir=runs/${now:%Y}/x", "seed=0"]) == (0 if not made[1:] else 2)
        assert main(["run", "seed=0"]) == 0
        assert main(["run", "-m", "seed=0"]) == 0
    claims = [path.parent for path in tmp_path.rglob("claim.json")]
    assert len(claims) == len(set(claims)) == len(made) == 7


def test_a_folder_that_is_taken_is_refused_before_anything_is_written(
    made: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "hydra.run.dir='it\\'s mine/x'", "seed=0"]) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["run", "hydra.run.dir='it\\'s mine/x'", "seed=0"]) == 2
    assert main(["run", "-m", "hydra.sweep.dir='it\\'s mine'", "seed=0,3"]) == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    shown = " ".join(capsys.readouterr().err.split())
    assert "it's mine/x` goes on with that one" in shown and "choose another folder with hydra.run.dir=FOLDER" in shown
    assert "choose another folder with hydra.sweep.dir=FOLDER" in shown
    assert made == [0]


def test_jobs_of_a_sweep_that_share_a_folder_are_refused_but_the_first(made: list[int], tmp_path: Path) -> None:
    assert main(["run", "-m", "hydra.sweep.dir=s", "hydra.sweep.subdir=same", "seed=0,3"]) == 2
    assert made == [0]
    assert "seed: 0\n" in (tmp_path / "s" / "same" / ".hydra" / "config.yaml").read_text()


def test_a_stopped_run_goes_on_and_a_finished_one_has_nothing_left_to_do(
    made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids: list[str] = []

    def simulate(config: RunConfig, directory: RunDirectory, hosts: None, on_progress: object, run_id: str) -> None:
        ids.append(run_id)
        directory.shops.mkdir(exist_ok=True)
        if len(ids) == 1:
            raise EccError("the power is gone")
        directory.run.write_text("{}")

    monkeypatch.setattr(run, "ended", lambda directories: 0)
    monkeypatch.setattr(run, "simulate", simulate)
    started = ["hydra.run.dir=mine", "seed=5", "arm=none"]
    assert main(["run", *started]) == 1
    assert main(["run", "--resume", "mine", "seed=5"]) == 2
    assert "arm.name was none and is local" in " ".join(capsys.readouterr().err.split())
    assert main(["run", "--resume", "mine", *started[1:]]) == 0
    assert len(ids) == 2 and len(set(ids)) == 1
    assert main(["run", "--resume=mine"]) == 0
    assert "holds a finished run: nothing is left to do" in " ".join(capsys.readouterr().err.split())
    assert len(ids) == 2
    assert main(["run", "--resume", "mine", "-m", "seed=5"]) == 2
    assert main(["run", "--resume", "nowhere"]) == 2
