"""Every row is read back as it was written, and what does not fit is named by place, key and what fits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import FailureRow, MetricRow, RunInfo, SampleRow, decode, encode

KINDS = (SampleRow, MetricRow, RunInfo, FailureRow, EgressEntry)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, FINITE)
st.register_type_strategy(Mapping, lambda hint: st.dictionaries(*map(st.from_type, hint.__args__), max_size=3))


def through_json(row: object) -> Any:
    return json.loads(json.dumps(encode(row)))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_written_is_read_back(kind: type, data: st.DataObject) -> None:
    counts = {"num_bytes": st.integers(0), "server_round": st.integers(0)} if kind is EgressEntry else {}
    row = data.draw(st.builds(kind, **counts))
    assert decode(kind, through_json(row), "here") == row
    assert encode(decode(kind, through_json(row), "here")) == encode(row)


@dataclass(frozen=True)
class Inner:
    number: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    whole: int
    flag: bool
    way: Literal["up", "down"]
    maybe: float | None
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.whole < 0:
            raise ValueError("whole is negative")


GOOD: dict[str, Any] = {"whole": 1, "flag": True, "way": "up", "maybe": None}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"whole": 1.0}, "whole is 1.0, not a whole number"),
        ({"whole": True}, "whole is True, not a whole number"),
        ({"flag": 1}, "flag is 1, not true or false"),
        ({"way": "left"}, "way is 'left', not one of up, down"),
        ({"maybe": "x" * 99}, "maybe is '" + "x" * 59 + ", not a number or null"),
        ({"maybe": math.inf}, "maybe is inf, not a number or null"),
        ({"maybe": False}, "maybe is False, not a number or null"),
        ({"inner": 3}, "inner is 3, not an object or null"),
        ({"inner": {}}, "inner.number is missing"),
        ({"inner": {"number": None}}, "inner.number is None, not a number"),
        ({"inner": {"number": 1, "names": "ab"}}, "inner.names is 'ab', not a list"),
        ({"many": [{"number": 1}, {"number": 1, "names": ["a", 2]}]}, "many[1].names[1] is 2, not a text"),
        ({"many": {}}, "many is {}, not a list"),
        ({"by_name": []}, "by_name is [], not an object"),
        ({"by_name": {"a.b": None}}, "by_name['a.b'] is None, not a text or a whole number or a number"),
        ({"wholes": 1}, "wholes is no key of it; it has whole, flag, way, maybe, inner, many, by_name"),
        ({"whole": -1}, "whole is negative"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(RunDirectoryError) as caught:
        decode(Outer, GOOD | change, "rows.jsonl, row 7", "mend it")
    assert str(caught.value) == f"rows.jsonl, row 7: {problem}; mend it"


def test_a_missing_key_is_named_unless_it_has_a_default() -> None:
    assert decode(Outer, GOOD, "here") == Outer(1, True, "up", None)
    for key in GOOD:
        with pytest.raises(RunDirectoryError, match=f"here: {key} is missing; repair the file or run it again"):
            decode(Outer, {name: GOOD[name] for name in GOOD if name != key}, "here")


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_row_is_an_object(value: Any) -> None:
    with pytest.raises(RunDirectoryError, match=r"here: is .*, not an object"):
        decode(Outer, value, "here")


def test_numbers_keep_their_sort() -> None:
    read = decode(Outer, GOOD | {"maybe": 2, "by_name": {"a": 1, "b": 1.5, "c": "x"}}, "here")
    assert (read.maybe, type(read.maybe)) == (2.0, float)
    assert [type(read.by_name[key]) for key in "abc"] == [int, float, str]
    assert type(encode(Inner(2))["number"]) is float


def test_a_dataclass_that_json_cannot_hold_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        names: Any

    Odd.__annotations__["names"] = set
    with pytest.raises(TypeError, match="has no form in JSON"):
        encode(Odd({1}))
