"""The ledger against what Flower's messages really carried: every byte, of every message, both ways."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from flwr.app import Message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage

from ecc_fed.core.errors import WriteError
from ecc_fed.core.records import EgressEntry
from ecc_fed.evolution.sent import SENT, read_sent, write_down
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult, traffic_bytes
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import FakeDevice, aggregated, personalized
from tests.federation.secure_aggregation.devices import SecureDevice, secure_plan

Carried = list[tuple[str, str, bytes]]


class Writing(FakeDevice):
    """A fake device with a ledger of its own."""

    folder: Path

    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        write_down(self.folder / shop_id, entries)


class WritingSecretly(SecureDevice):
    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        write_down(self.folder / shop_id, entries)


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Carried:
    """(shop, direction, the serialised message) of all that went through a grid."""
    found: Carried = []
    original = HostGrid.send_and_receive

    def note(grid: HostGrid, node: int, direction: str, message: Message) -> None:
        proto = message_to_proto(message)
        proto.metadata.message_id = ""
        found.append((grid.shops[node], direction, proto.SerializeToString()))

    def watched(grid, messages, *, timeout=None):
        for message in messages:
            note(grid, message.metadata.dst_node_id, "down", message)
        replies = list(original(grid, messages, timeout=timeout))
        for reply in replies:
            note(grid, reply.metadata.src_node_id, "up", reply)
        return replies

    monkeypatch.setattr(HostGrid, "send_and_receive", watched)
    return found


def run(plan: FederationPlan, device: FakeDevice) -> FederationResult:
    return run_federation(plan, list(device.shop_ids), lambda _: device, InProcessHosts())


def by_way(rows) -> dict[tuple[str, str], int]:
    found: Counter[tuple[str, str]] = Counter()
    for shop_id, direction, size in rows:
        found[shop_id, direction] += size
    return dict(found)


def told(entries: Sequence[EgressEntry]) -> Counter[tuple[str, str, str, str]]:
    """Digests that the ledger has, but for the envelope's."""
    return Counter((e.shop_id, e.direction, e.kind, e.digest) for e in entries if e.kind != "envelope")


def parsed(carried: Carried) -> Counter[tuple[str, str, str, str]]:
    """The same, of what Flower's own classes read in the bytes that went."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for shop_id, direction, content in carried:
        message = ProtoMessage.FromString(content)
        parts: dict[str, bytes] = {"error": message.error.reason.encode()}
        for item in message.content.items:
            kind = {"arrays": "adapter", "secure-aggregation": "secure_aggregation"}.get(item.key, item.key)
            record = getattr(item, item.WhichOneof("value"))
            parts[kind] = b"".join(
                each.key.encode() + (each.value.data if kind == "adapter" else scalar(each.value))
                for each in record.items
            )
        for kind, data in parts.items():
            if data:
                found[shop_id, direction, kind, hashlib.sha256(data).hexdigest()[:32]] += 1
    return found


def scalar(value) -> bytes:
    """A value without the tag of its type and, of texts and bytes, without its length."""
    field = value.WhichOneof("value")
    if field in ("string", "bytes"):
        own = getattr(value, field)
        return own.encode() if field == "string" else own
    return value.SerializeToString()[1:]


def check(result: FederationResult, carried: Carried) -> None:
    entries = result.traffic
    assert by_way((e.shop_id, e.direction, e.num_bytes) for e in entries) == by_way(
        (shop_id, direction, len(content)) for shop_id, direction, content in carried
    )
    assert sum(traffic_bytes(entries).values()) == sum(len(content) for _, _, content in carried)
    assert told(entries) == parsed(carried)
    assert sum(e.kind == "envelope" for e in entries) == len(carried), "one for every message"


@pytest.mark.parametrize("plan", [aggregated(2), personalized(3, 1)], ids=["aggregated", "personalized"])
def test_entries_sum_up_to_the_messages_and_name_what_was_told(
    tmp_path: Path, carried: Carried, plan: FederationPlan
) -> None:
    device = Writing(("a", "bb", "raises"))
    device.folder = tmp_path
    result = run(plan, device)
    check(result, carried)
    assert {e.kind for e in result.traffic if e.shop_id == "raises"} >= {"error", "metrics"}
    of_training = [e.details for e in result.rounds[0].traffic if (e.kind, e.direction) == ("metrics", "up")]
    assert of_training == [{"names": "loss,num-examples,scale"}] * 2
    for shop_id in device.shop_ids:
        up = [e for e in result.traffic if (e.shop_id, e.direction) == (shop_id, "up")]
        wrote = read_sent(tmp_path / shop_id)
        if shop_id != "raises":
            assert wrote == up
        else:  # what is sent in the place of a shop that failed is not the shop's own
            assert wrote and Counter(told(up)) - Counter(told(wrote)) == told([e for e in up if e.kind == "error"])


def test_a_masked_round_says_what_it_tells(tmp_path: Path, carried: Carried) -> None:
    device = WritingSecretly([f"s{place}" for place in range(4)], tmp_path)
    result = run(secure_plan(1), device)
    check(result, carried)
    up = [e for e in result.traffic if (e.shop_id, e.direction) == ("s0", "up")]
    assert read_sent(tmp_path / "s0") == up
    names = [(e.kind, e.details.get("names")) for e in up if e.kind not in ("config", "envelope")]
    assert names == [
        ("secure_aggregation", "keys"),
        ("secure_aggregation", "shares"),
        ("adapter", "masked"),
        ("secure_aggregation", "shares"),
    ], "no metrics, no count in the clear"


def test_an_answer_that_cannot_be_written_down_does_not_leave(tmp_path: Path, carried: Carried) -> None:
    class Full(Writing):
        def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
            raise WriteError("cannot write: the disk is full")

    with pytest.raises(WriteError, match="the disk is full"):
        run(aggregated(1), Full(("a", "b")))
    up = [ProtoMessage.FromString(content) for _, direction, content in carried if direction == "up"]
    assert up and all(message.HasField("error") and not message.HasField("content") for message in up)


def test_a_shops_own_ledger_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    entry = EgressEntry("a", 1, "aggregator", "up", "config", 3, digest="ab")
    write_down(tmp_path, [entry])
    with (tmp_path / SENT).open("ab") as file:
        file.write(b'{"kind": "con')
    assert read_sent(tmp_path) == [entry]
    write_down(tmp_path, [entry])
    assert read_sent(tmp_path) == [entry, entry]
    assert read_sent(tmp_path / "nobody") == []
