"""What settings name in the working folder is told absolutely, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ecc_fed.assembly.compose import compose_run, load_config, to_run_config, to_yaml
from ecc_fed.assembly.paths import anchored, check_there, paths_alone
from ecc_fed.assembly.same_config import config_digest
from ecc_fed.core.errors import UserError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("models/mine", "embedded", "Qwen"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("group", "value", "told"),
    [
        ("corpus", "d.jsonl", "HERE/d.jsonl"),
        ("end_model", "models/mine", "HERE/models/mine"),
        ("end_model", "./gone", "HERE/gone"),
        ("end_model", "../gone", "ABOVE/gone"),
        ("end_model", "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("end_model", "chatglm3-6b-native", "chatglm3-6b-native"),
        ("end_model", "embedded", "embedded"),
        ("teacher", "embedded/questions", "embedded/questions"),
        ("corpus", "s3://bucket/d.jsonl", "s3://bucket/d.jsonl"),
        ("corpus", "${oc.env:DATA}/d.jsonl", "${oc.env:DATA}/d.jsonl"),
        ("corpus", "/data/d.jsonl", "/data/d.jsonl"),
        ("corpus", "~/d.jsonl", "HOME/d.jsonl"),
        ("end_model", "x" * 5000, "x" * 5000),
    ],
)
def test_a_path_is_told_from_any_folder(
    group: str, value: str, told: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/of/mine")
    expected = told.replace("HERE", str(here)).replace("ABOVE", str(here.parent)).replace("HOME", "/of/mine")
    assert anchored({group: {"path": value}}) == {group: {"path": expected}}


def test_caches_judges_and_parts_within_parts_too_and_what_others_call_path_not(here: Path) -> None:
    values = {
        "seed": 3,
        "gateway": {"cache_path": "a.sqlite", "language": None},
        "judge": {"similarity": {"_target_": "x", "inner": {"_target_": "y", "path": "models/mine"}}},
        "evolution": {"warm_start": {"path": "set"}},
        "teacher": {"_target_": "x", "extra_body": {"path": "models/mine"}},
        "study": {"view": {"_target_": "x", "path": "models/mine"}},
    }
    told = anchored(values)
    assert told["gateway"]["cache_path"] == str(here / "a.sqlite")
    assert told["judge"]["similarity"]["inner"]["path"] == str(here / "models/mine")
    assert told["evolution"]["warm_start"]["path"] == str(here / "set")
    assert (told["teacher"], told["study"], told["seed"]) == (values["teacher"], values["study"], 3)
    assert anchored({"gateway": {"cache_path": ":memory:"}})["gateway"]["cache_path"] == ":memory:"


def test_a_saved_config_says_the_same_from_elsewhere(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    given = ["corpus=jsonl", "corpus.path=d.jsonl", "end_model.path=models/mine"]
    composed = compose_run(given)
    Path("config.yaml").write_text(to_yaml(composed), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        found = load_config(here / "config.yaml")
        assert config_digest(to_yaml(compose_run(given))) != config_digest((here / "config.yaml").read_text())
    assert found == to_run_config(composed)
    assert (found.corpus["path"], found.end_model.path) == (str(here / "d.jsonl"), str(here / "models/mine"))
    assert config_digest(to_yaml(compose_run(given))) == config_digest(Path("config.yaml").read_text())


def test_a_config_without_paths_is_written_as_ever() -> None:
    composed = compose_run([])
    assert to_yaml(composed) == OmegaConf.to_yaml(composed, resolve=True)


def test_what_is_gone_is_told_with_the_run_and_the_setting(here: Path) -> None:
    config = to_run_config(compose_run(["corpus=jsonl", "corpus.path=d.jsonl", "end_model.path=models/mine"]))
    check_there(config, ("end_model", "gateway", "teacher", "judge"), Path("run"))
    wanted = rf"{here}/d\.jsonl is not there, and the run run needs it \(corpus\.path\).* add corpus\.path=PATH"
    with pytest.raises(UserError, match=wanted):
        check_there(config, ("end_model", "corpus"), Path("run"))
    (here / "d.jsonl").write_text("{}")
    check_there(config, ("end_model", "corpus"), Path("run"))


def test_of_a_finished_run_paths_alone_may_be_given() -> None:
    paths_alone(["corpus.path=a", "judge.similarity.path=b", "gateway.cache_path=c"])
    for override in ("seed=5", "corpus.num_shops=1", "path"):
        with pytest.raises(UserError, match="a finished run stays as it is"):
            paths_alone([override])
