"""Paths and folders of any name, as they are typed in a shell, from the command line to the run's own config."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ecc_fed.cli.main import main

MINE = "defaults: [jsonl]\nlanguage: zh\n"
PROJECTS = ["客服项目", "own (1) [v2]", "it's {x}=#1, 2 $y", " 100% & $co; ", "a\\b'c\"d"]


def project(tmp_path: Path, name: str) -> None:
    """A folder of that name with settings of its own, and two files of dialogues; no line of theirs is read."""
    for path in ("配置 #1/corpus/mine.yaml", "[v2]/own (1).jsonl", "数据/对话=2.jsonl"):
        (tmp_path / name / path).parent.mkdir(parents=True)
        (tmp_path / name / path).write_text(MINE)


def test_a_folder_that_hydra_takes_for_a_setting_is_refused_in_words(
    made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "${seed}").mkdir()
    monkeypatch.chdir(tmp_path / "${seed}")
    assert main(["run"]) == 2 and main(["run", "-m", "hydra.sweep.dir=s"]) == 2
    assert "Hydra takes ${ in a folder's name for a setting. Choose one without it." in capsys.readouterr().err
    assert not list(Path.cwd().iterdir()) and made == []


@pytest.mark.parametrize("name", PROJECTS)
def test_a_project_of_any_name(name: str, made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, name)
    monkeypatch.chdir(tmp_path / name)
    given = ["corpus=mine", "--config-dir", "配置 #1", "partition=natural", "corpus.path=[v2]/own (1).jsonl"]
    assert main(["run", *given, "hydra.run.dir=结果 (1)/a=b", "seed=0"]) == 0
    config = OmegaConf.load(tmp_path / name / "结果 (1)" / "a=b" / ".hydra" / "config.yaml")
    assert (config.corpus.path, config.corpus.language) == (str(tmp_path / name / "[v2]/own (1).jsonl"), "zh")
    assert main(["run", *given, "seed=3"]) == 0, "in the usual folder"
    both = "corpus.path=[v2]/own (1).jsonl,数据/对话=2.jsonl"
    assert main(["run", "-m", *given, both, "hydra.sweep.dir=扫 [1]", "seed=0"]) == 0
    paths = [
        OmegaConf.load(tmp_path / name / "扫 [1]" / job / ".hydra" / "config.yaml").corpus.path
        for job in ("0_local", "1_local")
    ]
    assert paths == [str(tmp_path / name / path) for path in ("[v2]/own (1).jsonl", "数据/对话=2.jsonl")]
    assert main(["run", "--resume", str(tmp_path / name / "结果 (1)" / "a=b"), *given, "seed=0"]) == 0
    assert made == [0, 3, 0, 0, 0]
    assert {path.name for path in (tmp_path / name).iterdir()} == {
        *("配置 #1", "[v2]", "数据"),
        *("结果 (1)", "runs", "扫 [1]"),
    }, "nothing lies where another reading of a name would put it"
