"""What people type is what a setting gets, and what Hydra can read means what Hydra says."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ecc_fed.assembly.compose import compose_job, compose_run, to_run_config
from ecc_fed.assembly.overrides import literal, plain_sweep, quoted, readable
from ecc_fed.core.errors import ConfigError

NAMES = [
    "数据",
    "own (1)",
    "[v2] x",
    "a=b",
    "a#b",
    "{x}",
    "a{x}",
    "it's",
    'say "hi"',
    "a$b",
    "a;b&c!<d>`e^~",
    "100%",
    "a\\b",
    "a，b",
    "é\u0301",
    "20_26",
    "1e3",
    "true",
    "'t Hart",
]
# As it is typed -> what it comes to, of any setting.
VALUES = {
    # Hydra's own.
    "[a,b c]": ["a", "b c"],
    "{a: 1}": {"a": 1},
    "'a,b'": "a,b",
    '"it\'s"': "it's",
    "null": None,
    "1e-3": 0.001,
    "${seed}": "${seed}",
    "a\\,b": "a,b",
    # Words.
    "[能便宜点吗？]": ["能便宜点吗？"],
    "[能便宜点吗？, what's new?, 'a, b', c d]": ["能便宜点吗？", "what's new?", "a, b", "c d"],
    "[甲,[乙,c]]": ["甲", ["乙", "c"]],
    "{a: 能, b: [http://能/x, 1], c: {d: 好}}": {"a": "能", "b": ["http://能/x", 1], "c": {"d": "好"}},
    "模型 ${seed}!": "模型 ${seed}!",
    "能\\,好": "能,好",
}
SWEEPS = {
    "甲,乙 b,c": ["甲", "乙 b", "c"],
    "choice(甲,乙)": ["甲", "乙"],
    "sort(b,甲, reverse=true)": ["甲", "b"],
    "choice('a,b',2)": ["a,b", 2],
    "range(1,3)": [1, 2],
    "a,b": ["a", "b"],
}
# Of a place alone.
PLACES = {
    "[v2]/own (1).jsonl": "[v2]/own (1).jsonl",
    "/客服 [v2]/a=b/{c}/own (1, 2).jsonl": "/客服 [v2]/a=b/{c}/own (1, 2).jsonl",
    "结果 (1)/${now:%Y}/\\${b}": "结果 (1)/${now:%Y}/\\${b}",
    "http://host/v1?key=a&b=[c]": "http://host/v1?key=a&b=[c]",
    " own (1) ": "own (1)",
    "(1": "(1",
}
PLACE_SWEEPS = {
    "own (1).jsonl,数据/b.jsonl,c": ["own (1).jsonl", "数据/b.jsonl", "c"],
    "2023,20_24": ["2023", "20_24"],
    "'a,b',c (1)": ["a,b", "c (1)"],
}


def value(override: str) -> object:
    read = readable(override)
    assert readable(read) == read, "read once more it stays what it is"
    parsed = OverridesParser.create().parse_override(plain_sweep(read, []))
    if not parsed.is_sweep_override():
        return parsed.value()
    # Each as the job of a sweep reads it.
    jobs = [f"a={one}" for one in parsed.sweep_string_iterator()]
    return [OverridesParser.create().parse_override(job).value() for job in jobs]


@pytest.mark.parametrize(
    "key", ["corpus.path", "end_model.path", "hydra.run.dir", "+gateway.cache_path", "teacher.base_url"]
)
def test_a_place_of_any_name_is_taken_as_it_was_typed(key: str) -> None:
    for name in [*NAMES, *(f"{name}/x.jsonl" for name in NAMES), *(f"../{name}" for name in NAMES)]:
        assert value(f"{key}={name}") == name
    assert {typed: value(f"{key}={typed}") for typed in PLACES} == PLACES
    assert {typed: value(f"{key}={typed}") for typed in PLACE_SWEEPS} == PLACE_SWEEPS


@pytest.mark.parametrize("key", ["corpus.path", "a.b", "++teacher.model"])
def test_what_hydra_reads_and_words_of_any_letters(key: str) -> None:
    assert {typed: value(f"{key}={typed}") for typed in SWEEPS} == SWEEPS
    values = VALUES | ({"1e-3": "1e-3"} if key == "corpus.path" else {})  # a place is no number
    assert {typed: value(f"{key}={typed}") for typed in values} == values


@pytest.mark.parametrize(
    "override", ["a=[v2]/x", "a=[1", "a=own (1)", "a=能(", "a", "[/x]", "名=1", "a=b=c", "path=a,", "=能,", "~a"]
)
def test_what_nobody_can_read_stays_for_hydra_to_refuse(override: str) -> None:
    assert readable(override) == override


def test_a_name_that_only_ends_like_a_place_is_none() -> None:
    assert readable("footpath=[a]/b") == "footpath=[a]/b" and readable("a.my_path=[a]/b") == "a.my_path='[a]/b'"


@pytest.mark.parametrize("text", [*NAMES, "", "'", "\\'", "\\\\'", "\\", "a\\\\", "${x}", "a,b", "a\nb"])
def test_a_quoted_text_is_that_text(text: str) -> None:
    assert OverridesParser.create().parse_override(f"a={quoted(text)}").value() == text


def test_typed_values_reach_a_run() -> None:
    given = ["corpus=jsonl", "corpus.path=[v2]/own (1).jsonl", "end_model.path=模型 #1/a=b", "partition=natural"]
    given += ["evolution.extra_queries=[能便宜点吗？,what's new?]", "hydra.run.dir=结果 (1)/${seed}"]
    job, whole = compose_job(given)
    config = to_run_config(job)
    assert config.corpus["path"] == str(Path.cwd() / "[v2]/own (1).jsonl") and config.end_model.path == "模型 #1/a=b"
    assert config.evolution.extra_queries == ("能便宜点吗？", "what's new?")
    assert whole.hydra.run.dir == "结果 (1)/0"
    _, whole = compose_job([f"hydra.run.dir={literal('a${seed}')}"])
    assert whole.hydra.run.dir == "a${seed}", "a folder that was found is no interpolation"


def test_a_folder_of_settings_of_any_name(tmp_path: Path) -> None:
    folders = []
    for number, name in enumerate([*NAMES[:15], "a,b", " x ", "${x}", "a\nb"]):
        folders.append(str(tmp_path / name))
        (tmp_path / name / "corpus").mkdir(parents=True)
        (tmp_path / name / "corpus" / f"mine{number}.yaml").write_text(f"defaults: [simulator]\nnum_shops: {number}\n")
    for number in range(len(folders)):
        composed = compose_run([f"corpus=mine{number}"], folders if number == 0 else [folders[number]])
        assert composed.corpus.num_shops == number
    with pytest.raises(ConfigError, match=r"hydra\.searchpath: with --config-dir"):
        compose_run(["hydra.searchpath=[file://x]"], folders)


def test_a_glob_is_the_choices_that_it_stands_for(tmp_path: Path) -> None:
    for folder, names in {"a": ("x1", "x2", "y"), "b": ("x3",)}.items():
        (tmp_path / folder / "arm").mkdir(parents=True)
        for name in names:
            (tmp_path / folder / "arm" / f"{name}.yaml").touch()
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert plain_sweep("arm=glob(x*)", folders) == "arm=x1,x2,x3"
    assert plain_sweep("arm=glob(*, exclude=x*)", folders) == "arm=y"
    assert plain_sweep("arm=local", folders) == "arm=local"
    with pytest.raises(ConfigError, match=r"arm=glob\(z\*\) matches none of the choices: x1, x2, x3, y\."):
        plain_sweep("arm=glob(z*)", folders)
