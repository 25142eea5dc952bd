import json

import pytest
from flwr.app import Context, RecordDict

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.arms import ArmPlan
from ecc_fed.federation.flower.server_app import app, find_shops, plan_from
from ecc_fed.federation.results import FederationError, as_json
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.start import run_federation
from tests.federation.fakes import FakeDevice, build_fake


def grid_of(shop_ids: list[str], device: FakeDevice | None = None) -> HostGrid:
    hosts = InProcessHosts()
    hosts.open(shop_ids, build_fake if device is None else lambda _: device)
    return HostGrid(hosts, shop_ids)


@pytest.mark.parametrize(
    ("run_config", "plan"),
    [
        ({}, ArmPlan(3, True)),
        ({"arm": "none", "server-rounds": 0}, ArmPlan(0)),
        ({"arm": "local", "server-rounds": 2}, ArmPlan(2)),
        ({"arm": "aggregated", "server-rounds": 2, "personal-rounds": 1}, ArmPlan(2, True)),
        ({"arm": "personalized", "server-rounds": 4, "personal-rounds": 2}, ArmPlan(4, True, 2)),
    ],
)
def test_plan_from_the_run_config(run_config, plan):
    assert plan_from(run_config) == plan


@pytest.mark.parametrize(
    ("run_config", "reason"),
    [
        ({"arm": "centralized"}, "arm=centralized is unknown here: none, local, aggregated or personalized"),
        ({"server-rounds": -2}, "server_rounds=-2 is out of range"),
        ({"server-rounds": "many"}, "server-rounds=many is no whole number"),
    ],
)
def test_a_run_config_out_of_range_says_so(run_config, reason):
    with pytest.raises(ConfigError, match=reason):
        plan_from(run_config)


def test_shops_are_found_by_asking_and_sorted_by_name():
    assert list(find_shops(grid_of(["b", "c", "a"]), 3, 1.0).values()) == ["a", "b", "c"]


def test_too_few_nodes_are_an_error_that_says_what_to_do():
    with pytest.raises(FederationError, match="1 of 2 nodes are there after 0 seconds: start more SuperNodes"):
        find_shops(grid_of(["a"]), 2, 0.0)


def test_two_nodes_for_one_shop_are_an_error():
    with pytest.raises(FederationError, match="Two nodes stand for the same shop: a, a"):
        find_shops(grid_of(["a", "a"]), 2, 1.0)


def test_a_node_that_cannot_say_its_shop_is_an_error():
    with pytest.raises(FederationError, match=r"Node \d+ has no shop to offer: ConfigError: shop-id=b is none"):
        find_shops(grid_of(["a", "b"], FakeDevice(("a",))), 2, 1.0)


def test_the_server_app_gives_what_run_federation_gives(tmp_path):
    path = tmp_path / "result.json"
    run_config = {"arm": "personalized", "server-rounds": 3, "num-shops": 3, "result-path": str(path)}
    app(grid_of(["a", "b", "c"]), Context(1, 0, {}, RecordDict(), run_config))
    written = json.loads(path.read_text(encoding="utf-8"))
    expected = as_json(run_federation(ArmPlan(3, True, 1), ["a", "b", "c"], build_fake, InProcessHosts()))
    for content in (written, expected):
        for record in content["rounds"]:
            record["seconds"] = 0.0
    assert written == json.loads(json.dumps(expected))
