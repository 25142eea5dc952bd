"""Overrides in one text: what a shell would have done to them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.assembly.flower import config_from_run_config
from ecc_fed.assembly.overrides_text import split_overrides
from ecc_fed.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", []),
        ("  \n", []),
        ("arm=local seed=1", ["arm=local", "seed=1"]),
        ("arm=local\n\tseed=1 ", ["arm=local", "seed=1"]),
        ("'arm=local' \"seed=1\"", ["arm=local", "seed=1"]),
        ("corpus.path='my data.jsonl' seed=1", ["corpus.path='my data.jsonl'", "seed=1"]),
        ("'corpus.path=my data.jsonl' seed=1", ["corpus.path=my data.jsonl", "seed=1"]),
        ('corpus.path="对话 (1).jsonl"', ['corpus.path="对话 (1).jsonl"']),
        ("study.seeds=[0, 1] arm=local", ["study.seeds=[0, 1]", "arm=local"]),
        ("a={b: [1, 2], c: 'x y'} d=range(1, 3)", ["a={b: [1, 2], c: 'x y'}", "d=range(1, 3)"]),
        (r"a='it\'s so' b=1", [r"a='it\'s so'", "b=1"]),
        ("a='[' b=']'", ["a='['", "b=']'"]),
        ("a='x'y'z w' b=1", ["a='x'y'z w'", "b=1"]),
        ("'x'=1 b=1", ["'x'=1", "b=1"]),
        ("~arm +new=1", ["~arm", "+new=1"]),
    ],
)
def test_blanks_separate_but_for_quotes_and_brackets(text: str, overrides: list[str]) -> None:
    assert split_overrides(text) == overrides


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("seed=1 a='b c", "' is opened and never closed"),
        ("a=[1, 2 b=3", r"\[ is opened and never closed, in '\[1, 2 b"),
    ],
)
def test_what_is_never_closed_is_named(text: str, shown: str) -> None:
    with pytest.raises(ConfigError, match=f"overrides: {shown}"):
        split_overrides(text)


@given(st.lists(st.sampled_from(["a=1", "b='x y'", 'c="[ "', "d=[1, 2]", "e={f: (1)}", "g=对话"])))
def test_whatever_is_joined_comes_apart_again(overrides: list[str]) -> None:
    assert split_overrides("  ".join(overrides)) == overrides


def test_hydra_reads_what_is_left() -> None:
    text = "corpus=jsonl corpus.path='店 [一] \"a\".jsonl' 'seed=3' \"arm=local\""
    config = config_from_run_config({"overrides": text})
    assert (config.corpus["path"], config.seed, config.arm["_target_"].rpartition(".")[2]) == (
        str(Path.cwd() / '店 [一] "a".jsonl'),
        3,
        "Local",
    )
