"""`ecc-fed study`: what is told of runs that fail, and the exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli import study as cli
from ecc_fed.cli.main import main
from ecc_fed.core.errors import ModelError, TeacherError
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.runs import study

COMMAND = ["study", "quickstart", "study.arms=[none,local]", "--out", "out"]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Exception]:
    """By name, what a run ends of; the others end well. No host is opened, and no report written."""
    found: dict[str, Exception] = {}

    @contextmanager
    def open_hosts(config: RunConfig, at_least: int) -> Iterator[None]:
        yield None

    def simulate(config: RunConfig, directory: RunDirectory, hosts: Any, on_progress: Any, run_id: str) -> None:
        if directory.root.name in found:
            raise found[directory.root.name]
        write_text(directory.run, "{}")

    def report(folders: list[Path], console: Any) -> None:
        console.print(f"reported on {sum(1 for _ in folders[0].rglob('run.json'))}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "open_hosts", open_hosts)
    monkeypatch.setattr(study, "simulate", simulate)
    monkeypatch.setattr(study, "write_summary", lambda root: None)
    monkeypatch.setattr("ecc_fed.reporting.report.report", report)
    monkeypatch.setattr(cli, "ended", lambda directories: 0)
    return found


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_a_failed_run_is_told_by_name_the_rest_is_reported_and_the_exit_code_tells(
    ends: dict[str, Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    ends["none_seed0"] = TeacherError("the cloud is gone")
    assert main(COMMAND) == 1
    text = shown(capsys)
    assert "none_seed0 failed (TeacherError): the cloud is gone" in text
    assert "reported on 1" in text
    assert text.endswith(
        "1 of 2 runs failed. Try them again with: ecc-fed study quickstart 'study.arms=[none,local]' --out out"
    )
    ends.clear()
    assert main(COMMAND) == 0
    text = shown(capsys)
    assert "1 of 2 runs in out had been finished before" in text and "failed" not in text and "reported on 2" in text


def test_a_study_whose_every_run_fails_has_nothing_to_report(
    ends: dict[str, Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    ends |= {"none_seed0": ModelError("no such model"), "local_seed0": ZeroDivisionError("unforeseen")}
    assert main(COMMAND) == 2, "as its worst"
    text = shown(capsys)
    assert "Traceback" in text and "local_seed0 failed (ZeroDivisionError): unforeseen" in text
    assert "reported on" not in text and "2 of 2 runs failed" in text
