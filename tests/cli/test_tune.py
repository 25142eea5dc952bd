"""`ecc-fed tune`: what it prints and leaves, and its exit code."""

import shlex
import sys
from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli.main import main
from ecc_fed.core.errors import RunDirectoryError
from tests.runs.tuning.fakes import fake_runs, peak

COMMAND = ["tune", "score", "finetune.steps=range(10,60,10)", "arm=local", "--out", "out", "--trials", "3"]


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.err + captured.out


def test_the_best_trial_is_printed_as_a_command_that_gives_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    monkeypatch.chdir(tmp_path)
    asked: dict[int, RunConfig] = {}
    fake_runs(monkeypatch, lambda config: asked.setdefault(len(asked), config) and peak(config))
    assert main(COMMAND) == 0
    lines = shown(capsys).splitlines()
    best = max(asked, key=lambda number: peak(asked[number]))
    command = shlex.split(lines[-1])
    assert command[:2] == ["ecc-fed", "run"]
    assert to_run_config(compose_run(command[2:])) == asked[best]
    assert f"Best: trial_{best:03d} of out, score = {peak(asked[best]):.6g}" in lines[-2]
    table = (tmp_path / "out" / "trials.csv").read_text().splitlines()
    assert table[0] == "trial,score,finetune.steps,error" and len(table) == 4
    scores = [float(line.split(",")[1]) for line in table[1:]]
    assert scores == sorted(scores, reverse=True)
    assert main([*COMMAND[:-1], "4"]) == 0 and len(asked) == 4, "the same command with more trials adds to them"


def test_a_search_without_any_success_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    monkeypatch.chdir(tmp_path)

    def score(config: RunConfig) -> float:
        raise RunDirectoryError("a number is not finite")

    fake_runs(monkeypatch, score)
    assert main(COMMAND) == 1
    text = shown(capsys)
    assert text.count("failed: a number is not finite") == 3 and "None of 3 trials succeeded" in text


def test_without_optuna_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(COMMAND) == 2
    assert 'pip install "ecc_fed[tune]"' in shown(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune.steps=range(10,60,10)"], "Name the metric first"),
        (["score", "finetune.steps=range(10,60,10)", "--trials", "0"], "--trials 0: give a number from 1"),
        (["score", "finetune.steps=range(10,60,10)", "--fast"], "There is no flag --fast here"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *arguments]) == 2
    assert message in " ".join(shown(capsys).split())
    assert list(tmp_path.iterdir()) == []
