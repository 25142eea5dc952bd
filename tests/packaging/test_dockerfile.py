"""No engine builds the image here: what it copies is there, and what it installs is pinned and run by no root."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, list[str]]]:
    """(instruction, words), comments left out and continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    return [(name, shlex.split(rest)) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def of(instructions: list[tuple[str, list[str]]], wanted: str) -> list[list[str]]:
    return [words for name, words in instructions if name == wanted]


def test_all_that_is_copied_is_there_and_not_ignored(instructions: list[tuple[str, list[str]]]) -> None:
    copied = [source for words in of(instructions, "COPY") if not words[0].startswith("--") for source in words[:-1]]
    assert copied and [source for source in copied if not (ROOT / source).exists()] == []
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule.removeprefix("!") for rule in rules if rule.startswith("!")) == sorted(copied)


def test_what_the_package_is_built_from_is_copied(instructions: list[tuple[str, list[str]]]) -> None:
    copied = {source for words in of(instructions, "COPY") for source in words[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], *project["project"]["license-files"]}
    assert needed | {project["project"]["readme"], "pyproject.toml", "constraints.txt"} <= copied


def test_every_installation_is_pinned(instructions: list[tuple[str, list[str]]]) -> None:
    installs = [words for words in of(instructions, "RUN") if "pip" in words[0]]
    assert len(installs) == 2
    for words in installs:
        assert words[1] == "install" and words[words.index("--constraint") + 1] == "constraints.txt"


def test_it_is_run_by_no_root_without_telemetry(instructions: list[tuple[str, list[str]]]) -> None:
    names = [name for name, _ in instructions]
    assert of(instructions, "USER") == [["ecc"]]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    last = next(words for name, words in instructions[names.index("USER") - 1 :] if name == "ENV")
    assert {"FLWR_TELEMETRY_ENABLED=0", "RAY_USAGE_STATS_ENABLED=0", "HF_HUB_DISABLE_TELEMETRY=1"} <= set(last)
