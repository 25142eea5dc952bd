"""The ledger's pieces of a message against Flower's own serialisation of it, byte for byte."""

import hashlib
import struct

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.serde import message_to_proto
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.federation.flower.internals import identify_process, stamp
from ecc_fed.federation.wire import records, serialised
from ecc_fed.federation.wire.arrays import to_arrays

VALUES = (
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=200)
    | st.binary(max_size=200)
    | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)
    | st.lists(st.text(max_size=9), max_size=3)
    | st.lists(st.floats(), max_size=200)
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats() | st.lists(st.floats(), max_size=200)
TENSORS = st.sampled_from(
    [np.ones((2, 3), np.float32), np.zeros((0, 4)), np.array(7, np.uint8), np.arange(300, dtype=">i8").reshape(3, 100)]
)
NAMES = st.text(max_size=140)
CONTENTS = st.dictionaries(
    NAMES,
    st.dictionaries(NAMES, TENSORS, max_size=3).map(to_arrays)
    | st.dictionaries(NAMES, NUMBERS, max_size=3).map(MetricRecord)
    | st.dictionaries(NAMES, VALUES, max_size=4).map(ConfigRecord),
    max_size=4,
).map(RecordDict)


def message(content: RecordDict | Error, node: int = 2) -> Message:
    identify_process(1)
    if isinstance(content, Error):
        return Message(content, reply_to=Message(RecordDict(), node, "train"))
    return Message(content, node, "train", group_id="3")


def written(sent: Message) -> bytes:
    """As Flower writes it, without the id that its link gives."""
    proto = message_to_proto(sent)
    proto.metadata.message_id = ""
    return proto.SerializeToString()


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def check(sent: Message) -> None:
    expected = written(sent)
    assert b"".join(piece for _, piece in serialised.pieces(sent, records._kind)) == expected
    for direction in ("up", "down"):
        entries = records.traffic_entries("a", 1, direction, sent)
        assert sum(entry.num_bytes for entry in entries) == len(expected)


@given(CONTENTS)
def test_the_pieces_are_flowers_serialised_message(content: RecordDict) -> None:
    check(message(content))


@pytest.mark.parametrize("data", [b"", b"x"])
@pytest.mark.parametrize("name", ["", "a"])
def test_so_they_are_of_tensors_with_empty_fields(name: str, data: bytes) -> None:
    check(message(RecordDict({name: ArrayRecord({name: Array("", (), "", data)}), "none": ArrayRecord()})))
    check(message(RecordDict()))


@given(st.integers(0, 9), st.text(max_size=300), st.integers(1, 2**64 - 1))
def test_so_they_are_of_an_error(code: int, reason: str, node: int) -> None:
    check(message(Error(code, reason or None), node))


def test_the_id_that_flowers_link_gives_a_message_is_not_counted() -> None:
    sent = message(RecordDict({"config": ConfigRecord({"a": 1})}))
    before = records.traffic_entries("a", 1, "up", sent)
    stamp(sent)
    assert records.traffic_entries("a", 1, "up", sent) == before
    assert len(message_to_proto(sent).SerializeToString()) == len(written(sent)) + 2 + 36


def test_each_kind_has_the_digest_of_its_own_bytes() -> None:
    adapter = {"a.weight": np.arange(600, dtype=np.float32), "b": np.ones(2, np.float32)}
    content = RecordDict(
        {
            "arrays": to_arrays(adapter),
            "control": to_arrays({"b": np.zeros(2, np.float32)}),
            "metrics": MetricRecord({"train-loss": 1.5, "num-examples": 3}),
            "config": ConfigRecord({"shop-id": "店", "asks": True, "round": -2}),
            "public-replies": ConfigRecord({"texts": b"[]"}),
        }
    )
    entries = {entry.kind: entry for entry in records.traffic_entries("a", 1, "up", message(content))}
    arrays, control = (content.array_records[name] for name in ("arrays", "control"))
    # sint64 is zigzag: 3 is 6, -2 is 3.
    own = {
        "adapter": (b"a.weight", arrays["a.weight"].data, b"b", arrays["b"].data),
        "control": (b"b", control["b"].data),
        "metrics": (b"train-loss", struct.pack("<d", 1.5), b"num-examples", b"\x06"),
        "config": (b"shop-id", "店".encode(), b"asks", b"\x01", b"round", b"\x03"),
        "public_replies": (b"texts", b"[]"),
    }
    assert list(entries) == [*own, "envelope"]
    for kind, parts in own.items():
        assert (entries[kind].num_bytes, entries[kind].digest) == (len(b"".join(parts)), digest(*parts))
    assert {kind: dict(entry.details) for kind, entry in entries.items()} == {
        "adapter": {"tensors": 2},
        "control": {"tensors": 1, "names": "b"},
        "metrics": {"names": "train-loss,num-examples"},
        "config": {"names": "shop-id,asks,round"},
        "public_replies": {"names": "texts"},
        "envelope": {},
    }


def test_one_number_changes_the_digest_of_its_kind_alone() -> None:
    def digests(value: float, loss: float) -> dict[str, str]:
        tensor = np.full((3, 50), value, np.float32)
        sent.content["arrays"] = to_arrays({"a": tensor})
        sent.content["metrics"] = MetricRecord({"loss": loss})
        return {entry.kind: entry.digest for entry in records.traffic_entries("a", 1, "up", sent)}

    sent = message(RecordDict({"arrays": ArrayRecord(), "metrics": MetricRecord()}))
    first = digests(1.0, 1.0)
    assert {kind for kind, each in digests(2.0, 1.0).items() if each != first[kind]} == {"adapter"}
    assert {kind for kind, each in digests(1.0, 2.0).items() if each != first[kind]} == {"metrics"}
    assert digests(1.0, 1.0) == first


def test_tensors_that_messages_share_are_hashed_once_and_others_are_not_taken_for_them(monkeypatch) -> None:
    hashed: list[int] = []
    own = serialised.short_digest
    monkeypatch.setattr(serialised, "short_digest", lambda *parts: hashed.append(sum(map(len, parts))) or own(*parts))
    shared, known = to_arrays({"a": np.ones(4000, np.float32)}), serialised.Known()
    plain, together = [], []
    for number in range(20):
        arrays = shared if number % 2 else to_arrays({"a": np.full(4000, number, np.float32)})
        texts = ConfigRecord({"texts": f"{number:04}".encode() * 200})
        sent = message(RecordDict({"arrays": arrays, "agreed-replies": texts}), 2 + number)
        together.append(records.traffic_entries("a", 1, "down", sent, known))
        plain.append(records.traffic_entries("a", 1, "down", sent))
    assert together == plain
    assert sum(size > 10_000 for size in hashed) == 11 + 20  # ten of their own and the shared one; then all


def test_what_the_server_counts_on_arrival_is_what_left() -> None:
    """Flower's deployment engine takes a message apart and puts it together again: the entries stay as they were."""
    adapter = {"a": np.zeros((2, 300), np.float32), "b": np.zeros((2, 300), np.float32)}
    content = RecordDict({"arrays": to_arrays(adapter), "config": ConfigRecord({"shop-id": "a"})})
    for sent in (message(content), message(Error(2, "no power"))):
        objects = get_all_nested_objects(sent)
        contents = {object_id: each.deflate() for object_id, each in objects.items()}
        came = inflate_object_from_contents(sent.object_id, dict(contents))
        came.metadata.__dict__["_message_id"] = sent.object_id
        assert records.traffic_entries("a", 1, "up", came) == records.traffic_entries("a", 1, "up", sent)
        carried = b"".join(contents.values())
        if sent.has_content():  # equal tensors are one object: on that wire they go once
            assert carried.count(content.array_records["arrays"]["a"].data) == 1
            assert len(carried) < len(written(sent)), "two equal tensors outweigh what wraps the objects"


@pytest.mark.parametrize("shape", [("many",), (1.5,), (2**80,)])
def test_what_no_flower_engine_could_send_is_counted_all_the_same(shape: tuple) -> None:
    arrays = ArrayRecord({"a": Array("float32", (2,), "numpy.ndarray", b"12345678")})
    arrays["a"].shape = shape
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"a": "\ud800", "n": 2**70})})
    sizes = {entry.kind: entry.num_bytes for entry in records.traffic_entries("a", 1, "up", message(content))}
    assert (sizes["adapter"], sizes["config"]) == (len(b"a12345678"), len(f"a?n{2**70}"))


def test_names_from_outside_are_short_and_visible() -> None:
    content = RecordDict({"metrics": MetricRecord({"a\n\x1b[2J" + "b" * 5000: 1.0, "\ud800": 2})})
    (entry, _) = records.traffic_entries("a", 1, "up", message(content))
    names = str(entry.details["names"])
    assert len(names) < 1200 and names.isprintable()
