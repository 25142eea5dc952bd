"""Hydra's syntax of sweeps, read as what is searched."""

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.runs.tuning.space import Choice, Parameter, Real, Whole, chosen, corners, parse_space


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.b=tag(log,interval(1e-4,1e-2))", Real("a.b", 1e-4, 1e-2, log=True)),
        ("a=interval(0,1)", Real("a", 0.0, 1.0)),
        ("a=tag(int,interval(1,8))", Whole("a", 1, 8)),
        ("a=tag(int,log,interval(1,64))", Whole("a", 1, 64, log=True)),
        ("a=range(10,50,10)", Whole("a", 10, 40, 10)),  # as Hydra: without its end
        ("a=range(10,55,10)", Whole("a", 10, 50, 10)),
        ("a=range(5,1,-2)", Whole("a", 3, 5, 2)),
        ("a=tag(log,range(1,101))", Whole("a", 1, 100, log=True)),
        ("a=range(0.1,0.5,0.1)", Real("a", 0.1, 0.4, 0.1)),
        ("+a=local,none", Choice("+a", ("local", "none"))),
        ("a=choice(4,8,true)", Choice("a", ("4", "8", "True"))),
        ("a=choice([1,2],'it is')", Choice("a", ("[1,2]", r"it\ is"))),
    ],
)
def test_a_sweep_is_read(given: str, expected: Parameter) -> None:
    assert parse_space(["seed=3", given]) == (["seed=3"], (expected,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a=glob(*)", r"a=glob\(\*\) cannot be searched"),
        ("a=shuffle(1,2)", "Leave shuffle out"),
        ("a=tag(fast,choice(1,2))", "no tag fast here. Tags: int, log"),
        ("a=choice(1,1)", "names each value once"),
        ("a=interval(2,1)", "give the lower end first"),
        ("a=tag(log,interval(0,1))", "lower end first, above 0 for log"),
        ("a=tag(int,interval(0.5,2))", "whole numbers are whole numbers"),
        ("a=tag(log,range(1,9,2))", "has the step 1"),
        ("a=tag(log,range(0.1,0.9,0.2))", "steps are not even in the logarithm"),
        ("a=range(3,3)", "is empty"),
        ("a=1", "Nothing is searched"),
        ("a=choice(", "cannot be read"),
        ("seed=0,1,2", "a search over it finds luck"),
    ],
)
def test_what_cannot_be_searched_is_refused(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_space([given])


def test_a_setting_is_searched_once() -> None:
    with pytest.raises(ConfigError, match="a is searched twice"):
        parse_space(["a=1,2", "a=range(1,3)"])


def test_a_trials_overrides_are_what_hydra_reads_back_as_the_values() -> None:
    _, space = parse_space(["r=tag(log,interval(1e-4,1e-2))", "s=range(0.1,0.5,0.1)", "w=range(1,9,2)", "c=a,'b c'"])
    values = {"r": 0.00012345678901234567, "s": 0.1 + 0.2, "w": 5, "c": "'b c'"}
    assert chosen(space, values) == ["r=0.00012345678901234567", "s=0.3", "w=5", "c='b c'"]


def test_corners_reach_every_end_of_every_setting() -> None:
    _, space = parse_space(["r=interval(1,2)", "w=range(1,9,2)", "c=a,b,c"])
    found = list(corners(space))
    assert {corner[0] for corner in found} == {"r=1.0", "r=2.0"}
    assert {corner[1] for corner in found} == {"w=1", "w=7"}
    assert {corner[2] for corner in found} == {"c=a", "c=b", "c=c"}
