"""The ClientApp as Flower's stock engines call it: no host, a device from the run config."""

import pytest
from flwr.app import Context, Message, RecordDict

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.flower.client_app import app
from ecc_fed.federation.flower.devices import device_and_shop, serving
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.wire import records
from tests.federation.fakes import FakeDevice, fresh_adapter

FACTORY = {"device-factory": "tests.federation.fakes:device_from_run_config", "overrides": "a b c"}


def context(node_config: dict, run_config: dict | None = None) -> Context:
    return Context(1, 2, node_config, RecordDict(), FACTORY if run_config is None else run_config)


def message(content: RecordDict, kind: str) -> Message:
    identify_process(1)
    return Message(content, 2, kind)


def test_a_node_is_the_shop_of_its_partition_or_of_its_own_name():
    assert device_and_shop(context({"partition-id": 1, "num-partitions": 3}))[1] == "b"
    device, shop_id = device_and_shop(context({"shop-id": "c"}))
    assert shop_id == "c"
    assert device.shop_ids == ("c",)  # a node with a name of its own is given no other shop's dialogues


def test_the_device_is_built_once_a_process():
    first, _ = device_and_shop(context({"partition-id": 0}))
    assert device_and_shop(context({"partition-id": 2}))[0] is first


def test_a_host_goes_before_the_run_config():
    device = FakeDevice(("x",))
    with serving(device):
        assert device_and_shop(context({"partition-id": 0}, {})) == (device, "x")


@pytest.mark.parametrize(
    ("node_config", "run_config", "reason"),
    [
        ({}, FACTORY, "The node's config names no shop: start the SuperNode with --node-config"),
        ({"partition-id": 3}, FACTORY, "partition-id=3, but the corpus has 3 shops: start as many nodes as shops"),
        ({"partition-id": -1}, FACTORY, "partition-id=-1"),
        ({"partition-id": 0}, {"device-factory": "no.such:thing"}, "device-factory=no.such:thing cannot be loaded"),
        ({"partition-id": 0}, {"device-factory": "json:nothing"}, "device-factory=json:nothing cannot be loaded"),
    ],
)
def test_a_node_without_a_shop_says_why(node_config, run_config, reason):
    with pytest.raises(ConfigError, match=reason):
        device_and_shop(context(node_config, run_config))


def test_an_unknown_shop_name_is_refused():
    with (
        serving(FakeDevice(("x", "y"))),
        pytest.raises(ConfigError, match="shop-id=z is none of this run's shops: x, y"),
    ):
        device_and_shop(context({"shop-id": "z"}))


def test_train_evaluate_and_query():
    node = context({"partition-id": 0})
    arrays = records.to_arrays(fresh_adapter())
    content = records.instructions(arrays, records.train_config(1, True))
    report = records.read_train_reply(app(message(content, "train"), node).content, upload=True)
    assert report.num_examples == 11
    content = records.instructions(arrays, records.evaluate_config(1, "final"))
    evaluation = records.read_evaluate_reply(app(message(content, "evaluate"), node).content)
    assert evaluation.num_examples == 3
    answer = app(message(RecordDict(), records.QUERY_SHOP), node)
    assert answer.content.config_records[records.CONFIG][records.SHOP_ID] == "a"
