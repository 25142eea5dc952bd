"""YAML from outside, before it is loaded."""

from __future__ import annotations

import pytest
import yaml

from ecc_fed.core.plain_yaml import check_plain


@pytest.mark.parametrize("text", ["", "a: 1\nb: [x, {c: d}]", "- 1\n- [2]", "a: &name 1"])
def test_plain_values_pass(text: str) -> None:
    check_plain(text)


def test_a_reference_is_refused_with_its_place() -> None:
    with pytest.raises(yaml.MarkedYAMLError, match="references are not read here") as found:
        check_plain("a: &a [x]\nb:\n  c: *a")
    assert found.value.problem_mark is not None
    assert (found.value.problem_mark.line, found.value.problem_mark.column) == (2, 5)


def test_fifty_levels_pass_and_one_more_is_refused() -> None:
    check_plain("[" * 50 + "]" * 50)
    with pytest.raises(yaml.MarkedYAMLError, match="nested too deep") as found:
        check_plain("[" * 51 + "]" * 51)
    assert found.value.problem_mark is not None and found.value.problem_mark.column == 50


def test_levels_side_by_side_are_not_deep() -> None:
    check_plain("[" + "[[]], {a: {}}, " * 60 + "]")


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        check_plain("a: [")
