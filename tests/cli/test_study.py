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
from ecc_fed.core.failed_run import failed_in
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.runs import attempts, conclusion
from ecc_fed.runs.beside import Together

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
    monkeypatch.setattr(attempts, "open_hosts", open_hosts)
    monkeypatch.setattr(attempts, "simulate", simulate)
    monkeypatch.setattr(conclusion, "write_summary", lambda root: None)
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


def test_jobs_are_processes_of_the_same_command(
    ends: dict[str, Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[tuple[list[str], int]] = []

    def run_beside(arguments: list[str], runs: Any, out: Path, jobs: int, session: str, on_line: Any) -> Together:
        asked.append((arguments, jobs))
        assert main(arguments) == 0, "what is started is a command"
        failed = failed_in(tmp_path / "out" / "none_seed0", session)
        return Together((failed,) if failed else (), ("local_seed0",))

    monkeypatch.setattr(cli, "run_beside", run_beside)
    monkeypatch.setattr(cli, "end_with_parent", lambda: None)
    monkeypatch.setattr(cli, "new_session", lambda: "ab12")
    ends["none_seed0"] = ModelError("no such model")
    assert main([*COMMAND, "--jobs", "5", "--allow", "my_package"]) == 2
    own = ["study", "quickstart", "study.arms=[none,local]", "--allow", "my_package"]
    assert asked == [([*own, "--out", "out", "--session", "ab12"], 2)], "no more processes than runs"
    text = shown(capsys)
    assert text.count("none_seed0 failed (ModelError): no such model") == 1
    assert text.count("quickstart: composing") == 1, "told by one of them"
    assert "1 of 2 runs failed. Not finished: local_seed0. Try them again with: ecc-fed study quickstart" in text
    assert "--jobs 5" in text
    ends.clear()
    assert main(COMMAND) == 0
    assert main([*COMMAND, "--jobs", "2"]) == 0 and len(asked) == 1, "where nothing is left, nobody is started"
    assert main([*COMMAND, "--jobs", "0"]) == 2 and "--jobs 0: give a number from 1" in shown(capsys)
