"""The apps that Flower loads by name, and the device that a node of its engines is given."""

import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.supercore.object_ref import validate

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.runs import flower_apps
from tests.federation.fakes import FakeDevice

ROOT = Path(__file__).parents[2]
FLOWER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]


@pytest.mark.parametrize(("component", "kind"), [("serverapp", ServerApp), ("clientapp", ClientApp)])
def test_flower_finds_the_apps_that_the_project_names(component: str, kind: type) -> None:
    name = FLOWER["components"][component]
    assert validate(name, project_dir=ROOT) == (True, None)
    assert isinstance(pkgutil.resolve_name(name), kind)


def test_the_server_knows_the_adapters_of_its_run_config() -> None:
    limits = flower_apps.plan_of({"arm": "aggregated", "overrides": "adapter.rank=3 finetune.steps=2"}).limits
    assert limits.shapes is not None
    assert {shape[0] for name, shape in limits.shapes.items() if ".lora_A." in name} == {3}
    assert limits.max_examples == 2 * 8


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What devices are built from, without any model."""
    calls: list[Any] = []

    def build(run_config: dict[str, Any], node_config: dict[str, Any]) -> FakeDevice:
        calls.append((run_config, node_config))
        return FakeDevice((shop_of(node_config, ("a", "b", "c")),))

    monkeypatch.setattr(flower_apps, "device_from_run_config", build)
    flower_apps._device.cache_clear()
    yield calls
    flower_apps._device.cache_clear()


def context(node_config: dict[str, Any], **run_config: Any) -> Context:
    return Context(1, 2, node_config, RecordDict(), run_config)


def test_a_node_that_names_its_shop_is_given_no_other(built: list[Any]) -> None:
    device, shop_id = flower_apps.device_of(context({"shop-id": "c"}, overrides="seed=3"))
    assert (device.shop_ids, shop_id) == (("c",), "c")
    assert built == [({"overrides": "seed=3"}, {"shop-id": "c"})]


def test_nodes_of_one_process_have_a_device_each_built_once(built: list[Any]) -> None:
    first, shop_id = flower_apps.device_of(context({"partition-id": 1}))
    assert (first.shop_ids, shop_id) == (("b",), "b")
    second, shop_id = flower_apps.device_of(context({"partition-id": 2}))
    assert (second.shop_ids, shop_id) == (("c",), "c")
    assert flower_apps.device_of(context({"partition-id": 1})) == (first, "b")
    assert len(built) == 2, "a node that comes again keeps its device"
    flower_apps.device_of(context({"partition-id": 1}, overrides="seed=3"))
    assert len(built) == 3, "but another run's config is another device"


def test_a_node_without_a_shop_says_why(built: list[Any]) -> None:
    with pytest.raises(ConfigError, match="partition-id=3, but the corpus has 3 shops"):
        flower_apps.device_of(context({"partition-id": 3}))
