"""A message as Flower serialises it, piece by piece, so that every byte of it has a kind.

Measured is one protobuf `Message`: metadata, and content or error. Names and values count as their record's kind; tags,
lengths, shapes, record names and metadata, which hold the rest together, as `envelope`. The pieces in their order are
`message_to_proto(message).SerializeToString()` byte for byte, but for the id that Flower's link gives a message when it
takes it. Nothing is copied: a tensor's piece is the buffer that Flower sends.

What a wire adds is not in it: Flower's deployment engine (1.41) cuts a message into objects named by their SHA-256,
sends none twice that the other side holds, and wraps each in an HTTP request; its simulation sends nothing at all.
`python -m experiments.benchmarks.ledger` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord

from ecc_fed.core.records import short_digest
from ecc_fed.federation.flower.internals import (
    ProtoArray,
    ProtoArrayRecord,
    ProtoError,
    ProtoMessage,
    ProtoRecordDict,
    config_record_to_proto,
    metadata_to_proto,
    metric_record_to_proto,
)

ENVELOPE = "envelope"
ERROR = "error"
Record = ArrayRecord | MetricRecord | ConfigRecord
# What a record of this name counts as.
KindOf = Callable[[str, Record], str]
Piece = tuple[str, bytes]
# Digests made before with the pieces that they are of; in the key stands a long piece's identity, which is its own as
# long as the piece is kept beside it.
Known = dict[tuple[bytes | int, ...], tuple[str, list[bytes]]]

_LENGTH_DELIMITED = 2
_LONG_BYTES = 256


@dataclass(frozen=True, slots=True)
class Measured:
    """All pieces of one kind: their bytes, and the digest of these in their order."""

    num_bytes: int
    digest: str


def measured(message: Message, kind_of: KindOf, known: Known) -> dict[str, Measured]:
    """Bytes and digest by kind; kinds of no bytes have none.

    Args:
        message: with content or an error.
        kind_of: what its records count as.
        known: digests made before, and those made now: tensors that several messages share are hashed once.
    """
    of_kind: dict[str, list[bytes]] = {}
    for kind, piece in pieces(message, kind_of):
        of_kind.setdefault(kind, []).append(piece)
    found: dict[str, Measured] = {}
    for kind, parts in of_kind.items():
        key = tuple(part if len(part) < _LONG_BYTES else id(part) for part in parts)
        if key not in known:
            known[key] = short_digest(*parts), parts
        if num_bytes := sum(map(len, parts)):
            found[kind] = Measured(num_bytes, known[key][0])
    return found


def pieces(message: Message, kind_of: KindOf) -> Iterator[Piece]:
    """The serialised message, and what each piece of it counts as."""
    metadata = metadata_to_proto(message.metadata)
    metadata.message_id = ""
    yield from _framed(ProtoMessage.METADATA_FIELD_NUMBER, [(ENVELOPE, metadata.SerializeToString())])
    if message.has_error():
        yield from _framed(ProtoMessage.ERROR_FIELD_NUMBER, list(_error(message)))
        return
    content: list[Piece] = []
    for name, record in message.content.items():
        item = [*_text(ProtoRecordDict.Item.KEY_FIELD_NUMBER, name, ENVELOPE)]
        item += _framed(_field(record), list(_record(record, kind_of(name, record))))
        content += _framed(ProtoRecordDict.ITEMS_FIELD_NUMBER, item)
    yield from _framed(ProtoMessage.CONTENT_FIELD_NUMBER, content)


def _field(record: Record) -> int:
    if isinstance(record, ArrayRecord):
        return int(ProtoRecordDict.Item.ARRAY_RECORD_FIELD_NUMBER)
    if isinstance(record, MetricRecord):
        return int(ProtoRecordDict.Item.METRIC_RECORD_FIELD_NUMBER)
    return int(ProtoRecordDict.Item.CONFIG_RECORD_FIELD_NUMBER)


def _error(message: Message) -> Iterator[Piece]:
    yield ENVELOPE, ProtoError(code=message.error.code).SerializeToString()
    yield from _text(ProtoError.REASON_FIELD_NUMBER, message.error.reason or "", ERROR)


def _record(record: Record, kind: str) -> Iterator[Piece]:
    """Its items: a name and a value each. All records number them alike."""
    if isinstance(record, ArrayRecord):
        values = ((name, list(_array(array, kind))) for name, array in record.items())
    else:
        values = ((name, list(_value(value, kind))) for name, value in _values(record))
    for name, value in values:
        item = [*_text(ProtoArrayRecord.Item.KEY_FIELD_NUMBER, name, kind)]
        item += _framed(ProtoArrayRecord.Item.VALUE_FIELD_NUMBER, value)
        yield from _framed(ProtoArrayRecord.ITEMS_FIELD_NUMBER, item)


def _array(array: Array, kind: str) -> Iterator[Piece]:
    try:
        head = ProtoArray(dtype=array.dtype, shape=array.shape, stype=array.stype).SerializeToString()
    except (TypeError, ValueError):  # a shape from outside that is none; who reads the tensor will refuse it
        head = b""
    yield ENVELOPE, head
    if array.data:  # the last field of all
        yield from _framed(ProtoArray.DATA_FIELD_NUMBER, [(kind, array.data)])


def _values(record: MetricRecord | ConfigRecord) -> Iterator[tuple[str, bytes]]:
    """Names and serialised values. What Flower cannot serialise, and so no engine of its could send, counts as text."""
    try:
        if isinstance(record, MetricRecord):
            items = metric_record_to_proto(record).items
        else:
            items = config_record_to_proto(record).items
        yield from [(item.key, item.value.SerializeToString()) for item in items]
    except (TypeError, ValueError):
        text = "".join(name + str(value) for name, value in record.items()).encode("utf-8", "replace")
        yield "", _head(1, len(text)) + text


def _value(serialised: bytes, kind: str) -> Iterator[Piece]:
    """The value itself, behind the tag of its type and, where it has one, its length."""
    tag, start = _read_varint(serialised, 0)
    if tag & 7 == _LENGTH_DELIMITED:
        _, start = _read_varint(serialised, start)
    yield ENVELOPE, serialised[:start]
    yield kind, serialised[start:]


def _text(number: int, text: str, kind: str) -> Iterator[Piece]:
    """A field of text; an empty one is not written."""
    if text:
        yield from _framed(number, [(kind, text.encode("utf-8", "replace"))])


def _framed(number: int, parts: list[Piece]) -> Iterator[Piece]:
    """A field of these parts, behind its tag and their length."""
    yield ENVELOPE, _head(number, sum(len(piece) for _, piece in parts))
    yield from parts


def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, and where it ends."""
    number = 0
    for place, byte in enumerate(data[start:]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, start + place + 1
    raise AssertionError("every number ends")
