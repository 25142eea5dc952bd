"""Records as Hydra's nodes: same names, types and defaults, and back again unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal, get_type_hints

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecc_fed.assembly.nodes import node_of, record_of
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require


@dataclass(frozen=True, slots=True)
class Shelf:
    width: int = 3
    wood: Literal["oak", "pine"] = "oak"

    def __post_init__(self) -> None:
        require(self.width >= 0, "room.shelf.width", self.width, "0 or more")


@dataclass(frozen=True)
class Room:
    doors: int
    shelf: Shelf
    names: tuple[str, ...] = ("hall",)
    size: tuple[float, float] = (2.0, 3.5)
    boxes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"red": ("a",)})
    parts: Mapping[str, Any] = field(default_factory=dict)
    modules: str | tuple[str, ...] = "all"
    height: float | None = None
    extra: Mapping[str, Any] | None = None
    wide: Shelf = Shelf(width=9)


def composed(record: type, **changes: Any) -> Any:
    node = OmegaConf.merge(OmegaConf.structured(node_of(record)), changes)
    return record_of(record, OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]


def test_what_is_not_overridden_is_the_records_own_default() -> None:
    assert composed(Room, doors=2) == Room(2, Shelf())


def test_what_is_overridden_reaches_the_record_as_its_type() -> None:
    room = composed(
        Room,
        doors="2",
        shelf={"wood": "pine"},
        names=["hall", "attic"],
        size=[1, 2],
        boxes={"blue": ["b", "c"]},
        parts={"_target_": "a.B", "sizes": [1, 2]},
        modules=["q", "k"],
        height=2,
        extra={"_target_": "a.C"},
        wide={"wood": "pine"},
    )
    assert room == Room(
        2,
        Shelf(3, "pine"),
        ("hall", "attic"),
        (1.0, 2.0),
        {"red": ("a",), "blue": ("b", "c")},
        {"_target_": "a.B", "sizes": [1, 2]},
        ("q", "k"),
        2.0,
        {"_target_": "a.C"},
        Shelf(9, "pine"),
    )
    assert isinstance(room.height, float)


def test_a_field_without_a_default_must_be_set() -> None:
    assert OmegaConf.missing_keys(OmegaConf.structured(node_of(Room))) == {"doors"}


@pytest.mark.parametrize(
    "changes", [{"doors": "many"}, {"size": ["x", 1]}, {"dors": 1}, {"shelf": {"widht": 1}}, {"shelf": 3}]
)
def test_a_wrong_name_or_type_is_refused_before_there_is_a_record(changes: dict[str, Any]) -> None:
    with pytest.raises(OmegaConfBaseException):
        composed(Room, **{"doors": 1, **changes})


def test_what_the_record_refuses_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"room\.shelf\.width=-1 is out of range"):
        composed(Room, doors=1, shelf={"width": -1})


def test_a_run_is_made_of_frozen_records_alone() -> None:
    waiting, seen = [RunConfig], set()
    while waiting:
        record = waiting.pop()
        seen.add(record)
        assert record.__dataclass_params__.frozen, record  # type: ignore[attr-defined]
        waiting += [hint for hint in get_type_hints(record).values() if is_dataclass(hint) and hint not in seen]  # type: ignore[misc]
    assert len(seen) > 8
