from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run
from ecc_fed.assembly.targets import check_arguments, instantiate, locate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.shipped import conf_dir

FILES = sorted(conf_dir().glob("*/*.yaml"))


def _nodes(node: Any, name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield name, node
        for key, value in node.items():
            yield from _nodes(value, f"{name}.{key}".lstrip("."))


@pytest.mark.parametrize(
    "path", sorted(conf_dir().glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}={path.stem}"
)
def test_every_target_exists_and_takes_its_settings(path: Any) -> None:
    from omegaconf import OmegaConf

    composed = OmegaConf.to_container(compose_run([f"{path.parent.name}={path.stem}"]), resolve=False)
    for name, node in _nodes(composed):
        target = locate(node, name)
        given = {key: value for key, value in node.items() if key != "_target_"}
        objects = {"encoder", "seed", "partition", "count_tokens", "server_rounds", "adapter_seed"}
        import inspect

        known = {n for n in inspect.signature(target).parameters if n in objects}
        check_arguments(target, {**given, **dict.fromkeys(known)}, str(node["_target_"]), name)


class Shelf:
    def __init__(self, width: int, height: int = 2) -> None:
        if width < 0:
            raise ValueError("a shelf has no negative width")
        self.width, self.height = width, height


class Room:
    def __init__(self, shelf: Shelf, size: dict[str, int] | None = None) -> None:
        self.shelf, self.size = shelf, size


_ROOM = "tests.assembly.test_targets.Room"
_SHELF = "tests.assembly.test_targets.Shelf"


def test_values_and_objects_reach_the_target() -> None:
    shelf = instantiate({"_target_": _SHELF, "width": 3}, "shelf", height=5)
    assert (shelf.width, shelf.height) == (3, 5)


def test_a_part_with_a_target_of_its_own_is_made_first() -> None:
    room = instantiate({"_target_": _ROOM, "shelf": {"_target_": _SHELF, "width": 1}, "size": {"width": 4}}, "room")
    assert (room.shelf.width, room.size) == (1, {"width": 4})
    with pytest.raises(ConfigError, match=r"room\.shelf\.widht.*Did you mean room\.shelf\.width"):
        instantiate({"_target_": _ROOM, "shelf": {"_target_": _SHELF, "widht": 1}}, "room")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": _SHELF, "widht": 3}, "shelf.widht.*Did you mean shelf.width"),
        ({"_target_": _SHELF}, "needs width. Set shelf.width=VALUE"),
        ({"_target_": _SHELF, "width": -1}, "no negative width"),
        ({"_target_": "nowhere.Shelf"}, "shelf._target_=nowhere.Shelf cannot be imported"),
        ({"width": 1}, "no _target_"),
    ],
)
def test_a_wrong_node_is_refused_by_name(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        instantiate(node, "shelf")
