"""Every link of the project's texts points at something, and every command in them is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ecc_fed.assembly.compose_many import Composer
from ecc_fed.assembly.overrides import readable
from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.main import COMMANDS
from ecc_fed.core.errors import ConfigError
from ecc_fed.runs.study import studies
from tests.docs.pages import LINKED, ROOT, TEXTS, anchors, broken, commands, links

# Their settings are those of a run.
_COMPOSED = ("run", "study", "tune", "corpus", "distill")
# `--allow`'s is no folder and `--config-dir`'s is looked for below.
_WITH_VALUE = ("--allow", "--out", "--resume", "--jobs", "--trials", "--pairs", "--limit", "--split")
# The reader's own; as a value by itself each of these three is a word like any other.
_PLACEHOLDER = re.compile(r"…|(?<!=)\b[A-Z]{2,}\b|=(?!(?:FILE|FOLDER|MODEL)$)[A-Z]{2,}\b|\bN\b|my_conf")


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", LINKED, ids=_relative)
def test_every_link_points_at_a_file_and_a_heading(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_a_link_to_nothing_is_found() -> None:
    page = ROOT / "README.md"
    text = (
        "# Two `words`, here\n[a](nowhere.md) [b](#two-words-here) [c](#three) [d](https://x.test)\n```\n[e](f)\n```\n"
    )
    assert links(text) == ["nowhere.md", "#two-words-here", "#three"]
    assert anchors(text) == {"two-words-here"}
    assert broken(page, text) == [
        "nowhere.md: no such file",
        "#two-words-here: no such heading",
        "#three: no such heading",
    ]


def _settings(words: list[str]) -> tuple[list[str], tuple[str, ...]] | None:
    """The settings of a command, and the folders of its YAML.

    None: they are not composed, as the command takes no settings of a run, or a word of it stands for the reader's own
    (capitals, but for a file, folder or model that is a setting's value; an ellipsis; the folder `my_conf`).
    """
    command, *rest = words
    if command not in _COMPOSED or not rest or any(_PLACEHOLDER.search(word) for word in rest):
        return None
    kept: list[str] = []
    for before, word in zip(["", *rest], rest, strict=False):
        if before not in _WITH_VALUE and word not in _WITH_VALUE:
            kept.append(word)
    found, others = CommandParser("", config_dirs=True).parse_known_args([word for word in kept if word != "--help"])
    settings, folders = [word for word in others if not word.startswith("-")], found.config_dirs
    if command == "study":
        settings[0] = f"experiment={settings[0]}"
    return [setting for setting in settings if "=" in setting], tuple(folders)


# One for all commands: what they have in common is composed once.
_composer = cache(Composer)


def _each(settings: list[str]) -> Iterator[list[str]]:
    """As many runs of a sweep or a search as it takes for every value to be in one."""
    parsed = OverridesParser.create().parse_overrides([readable(one) for one in settings])
    choices = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()] if one.is_sweep_override() else [text]
        for one, text in zip(parsed, settings, strict=True)
    ]
    for chosen in zip_longest(*choices):
        yield [value or values[0] for value, values in zip(chosen, choices, strict=True)]


def _faults(words: list[str]) -> list[str]:
    command, *rest = words
    if command not in COMMANDS:
        return [] if command in ("COMMAND", "--version") else [f"there is no command {command}"]
    source = (ROOT / "ecc_fed" / "cli" / f"{command.replace('-', '_')}.py").read_text(encoding="utf-8")
    flags = {word for word in rest if word.startswith("--") and word != "--help"}
    faults = [f"{command} has no {flag}" for flag in sorted(flags) if flag not in source]
    if command == "study" and rest and not _PLACEHOLDER.search(rest[0]) and rest[0] not in studies():
        return [*faults, f"there is no study {rest[0]}"]
    given = _settings(words)
    if given is not None:
        try:
            for settings in _each(given[0]):
                _composer(given[1]).compose(settings)
        except ConfigError as error:
            faults.append(str(error))
    return faults


def test_every_command_that_is_shown_exists_and_its_settings_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    # Folders of YAML are named from the repository.
    monkeypatch.chdir(ROOT)
    shown = {tuple(words) for page in TEXTS for words in commands(page.read_text(encoding="utf-8"))}
    assert len(shown) > 40
    faults = {" ".join(words): found for words in sorted(shown) if (found := _faults(list(words)))}
    assert faults == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ecc-fed walk", "no command walk"),
        ("ecc-fed run arm=nobody", "arm"),
        ("ecc-fed run -m seed=0,1 finetune.stepps=3  # a remark", "finetune.stepps"),
        ("ecc-fed study holidays seed=1", "no study holidays"),
        ("ecc-fed report runs/mine --sideways", "no --sideways"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, said: str) -> None:
    (words,) = commands(f"```\n{line}\n```\n")
    (fault,) = _faults(words)
    assert said in fault


def test_the_chinese_readme_states_the_figures_of_the_english_one() -> None:
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    intervals = re.compile(r"[-+]?[\d.]+%? (?:个百分点\s)?(?:points )?\[-?[\d.]+, -?[\d.]+\]")

    def stated(text: str) -> set[str]:
        found = intervals.findall(re.sub(r"个百分点\s", "points ", text))
        return {re.sub(r"points ", "", one) for one in found}

    assert len(stated(chinese)) > 30 and stated(chinese) <= stated(english)
