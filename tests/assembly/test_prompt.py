"""The group `prompt`: today's words as the default, a user's own by a file or an override, checked when composed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ecc_fed.assembly.build import build_cloud
from ecc_fed.assembly.compose import compose_run, load_config, to_run_config, to_yaml
from ecc_fed.assembly.language import prompt_layout, system_text, with_language
from ecc_fed.assembly.schema import PromptSettings, RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.shipped import conf_dir
from ecc_fed.teacher.wording import LANGUAGES, TABLE_TWO

OWN = str(Path(__file__).parents[1] / "own_parts" / "conf")


def _config(*overrides: str, folders: tuple[str, ...] = ()) -> RunConfig:
    return to_run_config(compose_run(overrides, folders))


def test_the_default_says_what_every_run_said_before() -> None:
    told = _config().prompt
    assert told == PromptSettings()
    for language in LANGUAGES:
        assert told.layout(language) == TABLE_TWO[language]
        assert told.system_text(language) is None


def test_the_file_names_every_setting() -> None:
    assert set(OmegaConf.load(conf_dir() / "prompt" / "default.yaml")) == {*vars(PromptSettings())}


def test_an_own_file_takes_the_place_of_what_it_says_alone() -> None:
    config = _config("prompt=own", folders=(OWN,))
    zh = prompt_layout(config)
    assert zh.instruction == "你是一名耐心的客服。只回答顾客问到的。"
    assert zh.example.filled({"question": "几天到", "answer": "三天"}) == "[问] 几天到 [答] 三天"
    assert (zh.examples_follow, zh.speakers) == (TABLE_TWO["zh"].examples_follow, TABLE_TWO["zh"].speakers)
    assert system_text(config) == "你是本店的客服。"
    english = with_language(_config("prompt=own", "gateway.language=en", folders=(OWN,)), None)
    assert system_text(english) == "You are the agent of this shop."
    assert prompt_layout(english).instruction == zh.instruction, "one text is of all languages"
    assert prompt_layout(english).dialogue_follows == TABLE_TWO["en"].dialogue_follows


def test_one_override_says_one_text_of_all_languages_or_of_one() -> None:
    config = _config("prompt.system='You are a shop, and kind.'", "prompt.instruction.en='Answer.'")
    english = replace(config, gateway=replace(config.gateway, language="en"))
    assert system_text(config) == system_text(english) == "You are a shop, and kind."
    assert prompt_layout(config) == TABLE_TWO["zh"]
    assert prompt_layout(english).instruction == "Answer."
    whole = _config("prompt.instruction='Answer.'", r"prompt.example='Q: {question}\nA: {answer}'")
    assert prompt_layout(whole).instruction == "Answer."


def test_a_run_is_opened_with_the_words_it_had(tmp_path: Path) -> None:
    given = ("prompt=own", "prompt.agent='客服小二：'")
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(compose_run(given, (OWN,))), encoding="utf-8")
    assert load_config(path).prompt == _config(*given, folders=(OWN,)).prompt
    older = OmegaConf.load(path)
    del older["prompt"]
    OmegaConf.save(older, path)
    assert load_config(path).prompt == PromptSettings(), "of a run before there were such settings"


def test_the_cloud_is_told_in_the_runs_own_words() -> None:
    config = _config("prompt=own", folders=(OWN,))
    assert build_cloud(config).gateway._layout == prompt_layout(config)


@pytest.mark.parametrize("text", ["你是客服", "Be kind: always.", "it's one sentence"])
def test_a_text_may_be_typed_as_it_is(text: str) -> None:
    assert system_text(_config(f"prompt.system={text}")) == text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prompt.example='{question} {reply}'", r"prompt\.example has an unknown placeholder \{reply\}: there are"),
        ("prompt.example='Q: {question}'", r"prompt\.example has no placeholder \{answer\}, which it needs"),
        ("prompt.system='Say {\"a\": 1}'", r"prompt\.system has an unknown placeholder .*written twice"),
        ("prompt.system='a } b'", r"prompt\.system has a single \} in 'a \} b'"),
        ("prompt.system.zh=a", r"prompt"),
        ("prompt.instruction.fr=a", r"prompt"),
        ("prompt.systm=a", r"There is no setting prompt\.systm\. Did you mean prompt\.system\?"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_composed(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _config(override)


def test_an_own_file_is_checked_likewise(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "mine.yaml").write_text('example: "{q} {a}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"prompt\.example has an unknown placeholder \{q\}"):
        _config("prompt=mine", folders=(str(tmp_path),))
