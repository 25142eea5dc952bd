"""A finished run, opened from another working folder after it was moved, and after what it names was moved too."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import pytest

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.cli.main import main
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.simulation import simulate
from tests.corpus.dialogue_files import jsonl_text

SETTINGS = [
    "corpus=jsonl",
    "corpus.path=dialogues.jsonl",
    "corpus.num_shops=2",
    "corpus.max_pairs_per_shop=24",
    "corpus.max_test_pairs_per_shop=4",
    "partition=natural",
    "end_model.path=base",
    "gateway.cache_path=replies.sqlite",
    "arm=aggregated",
    "evolution.server_rounds=1",
    "finetune.steps=2",
    "decoding.max_new_tokens=8",
]
SHOP = "店_0"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder that the run was made in, and the run's own, which lies elsewhere now."""
    made_in, elsewhere = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made_in)
        Path("dialogues.jsonl").write_text(jsonl_text(60, shops=2), encoding="utf-8")
        shutil.copytree(EMBEDDED, "base")
        composed = compose_run(SETTINGS)
        directory = RunDirectory(Path("run"))
        write_text(directory.config, to_yaml(composed))
        simulate(to_run_config(composed), directory, InProcessHosts(), lambda stage, done, total: None)
        write_summary(directory.root)
        shutil.move("run", elsewhere / "run")
    return made_in, elsewhere / "run"


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("在吗\n/quit\n".encode()), encoding="utf-8"))


def _commands(run: str) -> dict[str, list[str]]:
    return {
        "chat": ["chat", run, "--shop", SHOP],
        "cross": ["cross", run],
        "attack": ["attack", run, "--candidates", "8"],
        "export": ["export", run, "--shop", SHOP, "--to", "peft", "--out", "out"],
    }


@pytest.mark.parametrize("command", ["chat", "cross", "attack", "export"])
def test_it_opens_from_another_folder(command: str, moved: tuple[Path, Path]) -> None:
    made_in, run = moved
    assert main(_commands(str(run))[command]) == 0
    assert sorted(path.name for path in made_in.iterdir() if not path.name.startswith("replies")) == [
        "base",
        "dialogues.jsonl",
    ]


def test_its_report_needs_nothing_but_itself(moved: tuple[Path, Path]) -> None:
    assert main(["report", str(moved[1]), "--out", "page"]) == 0
    assert Path("page/report.html").is_file()


@pytest.mark.parametrize(("name", "key"), [("dialogues.jsonl", "corpus.path"), ("base", "end_model.path")])
def test_what_is_gone_is_one_clear_error_and_its_new_place_can_be_given(
    name: str, key: str, moved: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_in, run = moved
    shutil.move(made_in / name, tmp_path / name)
    try:
        for command in _commands(str(run)).values():
            assert main(command) == 2
            told = " ".join(capsys.readouterr().err.split())
            assert f"{made_in / name} is not there, and the run {run} needs it ({key})" in told
            assert f"add {key}=PATH to the command" in told
        assert main([*_commands(str(run))["export"], f"{key}={name}"]) == 0
        assert main([*_commands(str(run))["export"], "seed=1"]) == 2
        assert "a finished run stays as it is" in " ".join(capsys.readouterr().err.split())
    finally:
        shutil.move(tmp_path / name, made_in / name)
