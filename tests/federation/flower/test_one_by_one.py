"""Replies that Flower itself cannot unpack, and replies of which it lost a part."""

import httpx
import numpy as np
import pytest
from flwr.app import Error, Message, RecordDict

from ecc_fed.federation.flower.internals import SERVER_NODE_ID
from ecc_fed.federation.flower.one_by_one import OneByOne
from ecc_fed.federation.rounds import Server, run_rounds
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from tests.federation.fakes import SHAPES, FakeDevice, aggregated

SHOPS = ["a", "liar", "bb"]
PLAN = aggregated(2, evaluates_base=False).expecting(SHAPES)


class LinkGrid(HostGrid):
    """Gives replies away when asked for, as Flower's link does; `liar`'s training is spoilt by `spoil`."""

    def __init__(self, shop_ids, spoil):
        hosts = InProcessHosts()
        hosts.open(shop_ids, FakeDevice)
        super().__init__(hosts, shop_ids)
        self.spoil = spoil

    def pull_messages(self, message_ids):
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            if self.shops[reply.metadata.src_node_id] == "liar":
                replies = self.spoil(reply)
        return replies

    def send_and_receive(self, messages, *, timeout=None):
        raise AssertionError("one call for all loses all")


def run(spoil, shop_ids=SHOPS, timeout=None):
    grid = LinkGrid(shop_ids, spoil)
    return run_rounds(Server(OneByOne(grid, poll_seconds=0.0), grid.shops, timeout), PLAN)


def unpack(reply: Message) -> list[Message]:
    raise TypeError("Invalid arguments for Array.\x1b[2J")


def lost(reply: Message) -> list[Message]:
    """As Flower's grid does it: in the server's name."""
    error = Message(Error(5, "Reply message objects are unavailable."), reply_to=reply)
    error.metadata.__dict__["_src_node_id"] = SERVER_NODE_ID
    return [error]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (unpack, r"the reply cannot be unpacked: TypeError: Invalid arguments for Array.\u001b[2J"),
        (lost, "Reply message objects are unavailable."),
        (lambda _: [], "no reply within 0.0 seconds"),
    ],
)
def test_what_flower_cannot_give_harms_its_sender_alone(spoil, reason):
    result = run(spoil, timeout=0.0)
    assert {(f.shop_id, f.kind, f.reason) for f in result.failures} == {("liar", "dropped", reason)}
    honest = run(lambda reply: [reply], ["a", "bb"])
    assert honest.failures == ()
    for name, tensor in honest.state.aggregate.items():
        assert np.array_equal(result.state.aggregate[name], tensor)


def test_a_reply_that_comes_late_is_waited_for():
    looks: list[int] = []

    def late(reply: Message) -> list[Message]:
        looks.append(1)
        grid._replies[reply.metadata.reply_to_message_id] = reply
        return [reply] if len(looks) % 3 == 0 else []

    grid = LinkGrid(SHOPS, late)
    result = run_rounds(Server(OneByOne(grid, poll_seconds=0.0), grid.shops), PLAN)
    assert result.failures == ()
    assert len(looks) == 3 * 3  # two rounds and the final evaluation


def test_a_link_that_fails_is_nobodys_lie():
    def fail(reply: Message) -> list[Message]:
        raise httpx.ConnectError("refused")

    with pytest.raises(httpx.ConnectError):
        run(fail)


def test_all_else_is_the_grids_own():
    grid = LinkGrid(SHOPS, lambda reply: [reply])
    wrapped = OneByOne(grid)
    assert list(wrapped.get_node_ids()) == list(grid.shops)
    wrapped.set_run("another")
    assert wrapped.run == grid.run == "another"
    message = wrapped.create_message(RecordDict(), "train", 2, "3")
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (2, "3")
    assert len(list(wrapped.push_messages([]))) == len(list(wrapped.pull_messages(["unknown"]))) == 0
