import json
import logging

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.flower import server_app as server_app_module
from ecc_fed.federation.flower.server_app import find_shops, server_app
from ecc_fed.federation.results import FederationError, as_json, traffic_bytes
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import SHAPES, FakeDevice, build_fake, personalized


def grid_of(shop_ids: list[str], device: FakeDevice | None = None) -> HostGrid:
    hosts = InProcessHosts()
    hosts.open(shop_ids, build_fake if device is None else lambda _: device)
    return HostGrid(hosts, shop_ids)


def test_shops_are_found_by_asking_and_sorted_by_name():
    shops, traffic = find_shops(grid_of(["b", "cc", "a"]), 3, 1.0)
    assert list(shops.values()) == ["a", "b", "cc"]
    sizes = {entry.shop_id: entry.num_bytes for entry in traffic if (entry.direction, entry.kind) == ("up", "config")}
    assert sizes["cc"] == sizes["a"] + 1 == sizes["b"] + 1
    assert {(entry.destination, entry.server_round) for entry in traffic} == {("aggregator", 0)}
    assert [(entry.direction, entry.kind) for entry in traffic if entry.shop_id == "a"] == [
        ("up", "config"), ("up", "envelope"), ("down", "envelope"),
    ]  # fmt: skip


def test_too_few_nodes_are_an_error_that_says_what_to_do():
    with pytest.raises(FederationError, match="1 of 2 nodes are there after 0 seconds: start more SuperNodes"):
        find_shops(grid_of(["a"]), 2, 0.0)


class Slow(HostGrid):
    """Its nodes come at the seconds `at` of a clock that stands still but in `sleep`."""

    at: tuple[float, ...] = ()
    now = 1000.0

    def get_node_ids(self):
        return list(super().get_node_ids())[: sum(1000.0 + at <= self.now for at in self.at)]

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def lines(caplog):
    """What Flower's log says of nodes."""
    with caplog.at_level(logging.INFO, logger="flwr"):
        yield lambda: [record.getMessage() for record in caplog.records]


def slow(monkeypatch, *at):
    hosts = InProcessHosts()
    hosts.open(["a", "b", "c"], build_fake)
    grid = Slow(hosts, ["a", "b", "c"])
    grid.at = at
    monkeypatch.setattr(server_app_module, "time", grid)
    return grid


def test_who_waits_for_nodes_says_so_at_once_on_a_change_and_every_few_minutes(monkeypatch, lines):
    assert len(find_shops(slow(monkeypatch, 0.0, 0.0, 700.0), 3, 3600.0)[0]) == 3
    waiting = "Waiting for 3 nodes, 2 are here: start more SuperNodes within {} seconds, or set num-shops in the run "
    waiting += "config to the number of nodes."
    assert lines() == [*(waiting.format(left) for left in (3600, 3300, 3000)), "All 3 nodes are here."]


def test_nodes_that_come_one_by_one_are_few_lines(monkeypatch, lines):
    find_shops(slow(monkeypatch, 1.0, 2.0, 25.0), 3, 3600.0)
    told = [line.partition(":")[0] for line in lines()]
    assert told == ["Waiting for 3 nodes, 0 are here", "Waiting for 3 nodes, 2 are here", "All 3 nodes are here."]


def test_where_all_nodes_are_there_nothing_is_said_of_them(lines):
    find_shops(grid_of(["a", "b"]), 2, 1.0)
    assert lines() == []


def test_two_nodes_for_one_shop_are_an_error():
    with pytest.raises(FederationError, match="Two nodes stand for the same shop: a, a"):
        find_shops(grid_of(["a", "a"]), 2, 1.0)


def test_a_node_that_cannot_say_its_shop_is_an_error():
    with pytest.raises(FederationError, match=r"Node \d+ has no shop to offer: ConfigError: shop-id=b is none"):
        find_shops(grid_of(["a", "b"], FakeDevice(("a",))), 2, 1.0)


@pytest.mark.parametrize(
    ("config", "shop"),
    [
        (None, "None"),
        ({}, "None"),
        ({"shop-id": 3}, "3"),
        ({"shop-id": "\x1b[2J"}, r"'\\x1b\[2J'"),
        ({"shop-id": "x" * 10**6}, "'xxx"),
    ],
)
def test_a_node_that_lies_about_its_shop_is_named(config, shop):
    class Lying(HostGrid):
        def send_and_receive(self, messages, *, timeout=None):
            for reply in super().send_and_receive(messages, timeout=timeout):
                reply.content = RecordDict({} if config is None else {"config": ConfigRecord(config)})
                yield reply

    hosts = InProcessHosts()
    hosts.open(["a"], build_fake)
    with pytest.raises(
        FederationError, match=rf"Node \d+ says that its shop is {shop}.*: a name of 1 to 200"
    ) as caught:
        find_shops(Lying(hosts, ["a"]), 1, 1.0)
    assert len(str(caught.value)) < 500


def context(**run_config) -> Context:
    return Context(1, 0, {}, RecordDict(), run_config)


class Engine(HostGrid):
    """One of Flower's, which unpacks all replies of a call together."""

    def send_and_receive(self, messages, *, timeout=None):
        raise AssertionError("a reply that cannot be unpacked would end the run")


def test_the_server_app_gives_what_run_federation_gives(tmp_path):
    path, plan, asked = tmp_path / "result.json", personalized(3, 1).expecting(SHAPES), []

    def build(run_config):
        asked.append(dict(run_config))
        return plan

    run_config = {"overrides": "seed=3", "num-shops": 3, "result-path": str(path)}
    hosts = InProcessHosts()
    hosts.open(["a", "b", "c"], build_fake)
    server_app(build)(Engine(hosts, ["a", "b", "c"]), context(**run_config))
    assert asked == [run_config]
    written = json.loads(path.read_text(encoding="utf-8"))
    expected = as_json(run_federation(plan, ["a", "b", "c"], build_fake, InProcessHosts()))
    for content in (written, expected):
        for record in content["rounds"]:
            record["seconds"] = 0.0
    _, asked_for_shops = find_shops(grid_of(["a", "b", "c"]), 3, 1.0)
    for name, more in traffic_bytes(tuple(asked_for_shops)).items():
        assert written["traffic_bytes"].pop(name) == expected["traffic_bytes"].pop(name) + more > more > 0
    assert written == json.loads(json.dumps(expected))


@pytest.mark.parametrize("num_shops", [{}, {"num-shops": 0}, {"num-shops": "many"}])
def test_a_number_of_nodes_is_needed(num_shops):
    with pytest.raises(ConfigError, match=r"num-shops=.* is no number of nodes: 1 or more"):
        server_app(lambda _: personalized(3, 1))(grid_of(["a"]), context(**num_shops))


class Noisy(HostGrid):
    """The last reply comes again, from the node `again`."""

    again: int | None = None

    def send_and_receive(self, messages, *, timeout=None):
        replies = list(super().send_and_receive(messages, timeout=timeout))
        copy = Message(replies[-1].content, reply_to=replies[-1])
        copy.metadata.__dict__["_src_node_id"] = self.again or replies[-1].metadata.src_node_id
        return [*replies, copy]


def test_a_node_that_was_not_asked_is_no_shop_and_one_that_answers_twice_is_named():
    hosts = InProcessHosts()
    hosts.open(["a"], build_fake)
    grid = Noisy(hosts, ["a"])
    with pytest.raises(FederationError, match=r"Node \d+ says twice which shop it stands for"):
        find_shops(grid, 1, 1.0)
    grid.again = 4711
    assert list(find_shops(grid, 1, 1.0)[0].values()) == ["a"]
