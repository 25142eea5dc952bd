"""What is said of an arm in words, by hand-made answers."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ecc_fed.core.rows import read_run_info, write_record, write_rows
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.sentences import arm_lines, sentences
from ecc_fed.reporting.formatting import words
from ecc_fed.reporting.report import report
from ecc_fed.reporting.study import load_study
from tests.reporting.comparison.conftest import answers

ALL, HALF, NONE = [1] * 20, [1, 0] * 10, [0] * 20
SHOPS = "abcdef"


@pytest.fixture
def told(known_run, tmp_path):
    for arm, right in (("retrieval", HALF), ("local", ALL), ("aggregated", NONE), ("personalized", ALL)):
        known_run(arm, 0, dict.fromkeys(SHOPS, right))
    return {one.group.arm: one for one in sentences(find(load_study([tmp_path])))}


def test_an_arm_is_above_below_or_level_and_who_is_compared_with_is_not_compared_with_itself(told):
    assert "; above copying (+50.0 [" in told["local"].text and "with local" not in told["local"].text
    assert (
        "; below copying (-50.0 [" in told["aggregated"].text and "; below local (-100.0 [" in told["aggregated"].text
    )
    assert "; level with local (+0.0 [" in told["personalized"].text
    assert "copying" not in told["retrieval"].text and "; below local (-50.0 [" in told["retrieval"].text
    assert {arm for arm, one in told.items() if one.telling} == {"retrieval", "aggregated"}


def test_what_was_gained_over_the_base_is_said_of_arms_that_learn(known_run, tmp_path):
    for arm in ("local", "none"):
        root = known_run(arm, 0, dict.fromkeys(SHOPS, ALL))
        final = [row for shop in SHOPS for row in answers(0, shop, ALL)]
        base = [replace(row, phase="base") for shop in SHOPS for row in answers(0, shop, HALF)]
        write_rows(root / "samples.jsonl", [*base, *final])
    info = read_run_info(root / "run.json")
    write_record(root / "run.json", replace(info, server_rounds=0))
    local, none = sorted(sentences(find(load_study([tmp_path]))), key=lambda one: one.group.arm)
    assert local.text.startswith("local: 100.0% [100.0, 100.0] facts right; +50.0 [")
    assert "] over the base; shops" not in local.text and "] over the base." in local.text
    assert "over the base" not in none.text


def test_arms_are_explained_once_and_others_not_at_all(known_run, tmp_path):
    known_run("local", 0, {"a": ALL})
    known_run("local", 1, {"a": ALL})
    known_run("my_arm", 0, {"a": ALL})
    lines = arm_lines(find(load_study([tmp_path])))
    assert [line.split(":")[0] for line in lines] == [
        "local",
        "differences are paired by question, with 95% intervals; level",
    ]


def test_of_many_arms_the_console_tells_those_that_differ(known_run, tmp_path):
    known_run("local", 0, dict.fromkeys(SHOPS, ALL))
    known_run("aggregated", 0, dict.fromkeys(SHOPS, NONE))
    for number in range(14):
        known_run(f"own_{number}", 0, dict.fromkeys(SHOPS, ALL))
    console = Console(file=io.StringIO(), width=100)
    report([tmp_path], output=tmp_path / "out", console=console)
    first, second, *_ = console.file.getvalue().splitlines()
    assert first.startswith("aggregated: 0.0%") and second == "15 more: the page has every arm in words."


def test_names_of_classes_are_words():
    assert words("CrossEncoderRelevance") == "cross encoder relevance"
    assert words("E5Similarity") == "e5 similarity"
