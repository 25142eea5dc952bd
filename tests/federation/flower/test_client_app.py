"""The ClientApp around a device, as whoever composes it hands it one."""

import pytest
from flwr.app import Context, Message, RecordDict

from ecc_fed.core.aggregation import NOTHING, WHOLE, Exchange
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.wire import records, replies
from ecc_fed.federation.wire.arrays import to_arrays
from tests.federation.fakes import SHAPES, FakeDevice, fresh_adapter

SHOPS = ("a", "b", "c")


def message(content: RecordDict, kind: str) -> Message:
    identify_process(1)
    return Message(content, 2, kind)


def test_a_node_is_the_shop_of_its_partition_or_of_its_own_name():
    assert [shop_of({"partition-id": index, "num-partitions": 3}, SHOPS) for index in range(3)] == list(SHOPS)
    assert shop_of({"shop-id": "c"}, SHOPS) == "c"
    assert shop_of({"shop-id": "c", "partition-id": 0}, SHOPS) == "c"  # its name goes before its number


@pytest.mark.parametrize(
    ("node_config", "reason"),
    [
        ({}, "The node's config names no shop: start the SuperNode with --node-config"),
        ({"partition-id": 3}, "partition-id=3, but the corpus has 3 shops: start as many nodes as shops"),
        ({"partition-id": -1}, "partition-id=-1"),
        ({"shop-id": "z"}, "shop-id=z is none of this run's shops: a, b, c"),
    ],
)
def test_a_node_without_a_shop_says_why(node_config, reason):
    with pytest.raises(ConfigError, match=reason):
        shop_of(node_config, SHOPS)


def test_train_evaluate_and_query_go_to_the_nodes_own_device():
    devices = {1: FakeDevice(("a",)), 2: FakeDevice(("b",))}
    app = client_app(lambda context: (devices[context.node_id], devices[context.node_id].shop_ids[0]))
    arrays = to_arrays(fresh_adapter())
    node = Context(1, 2, {}, RecordDict(), {})
    content = records.instructions(arrays, records.train_config(4, WHOLE), "run")
    reply, asked = app(message(content, "train"), node).content, replies.Asked("run", "train", 4, "b")
    report = replies.read_update(reply, asked, SHAPES, ReplyLimits(), mixed_ranks=False, masked=False)
    assert report.num_examples == 11
    content = records.instructions(arrays, records.evaluate_config(5, "final"), "run")
    answer = app(message(content, "evaluate"), node).content
    evaluation = replies.read_evaluate_reply(answer, replies.Asked("run", "final", 5, "b"))
    assert evaluation.num_examples == 3
    answer = app(message(RecordDict(), records.QUERY_SHOP), node)
    assert answer.content.config_records[records.CONFIG][records.SHOP_ID] == "b"
    assert devices[2].calls == [("train", "b", 4, True), ("final", "b", 5, True)]
    assert devices[1].calls == []


def test_an_adapter_stays_at_home_where_the_server_does_not_ask_for_it():
    app = client_app(lambda _: (FakeDevice(("a",)), "a"))
    content = records.instructions(to_arrays(fresh_adapter()), records.train_config(1, Exchange(up=NOTHING)), "run")
    reply = app(message(content, "train"), Context(1, 2, {}, RecordDict(), {}))
    assert not reply.content.array_records
