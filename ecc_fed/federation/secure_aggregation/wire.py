"""What travels in secure aggregation, beside the adapter: one record a message, packed as bytes.

message            down                                         up
query.keys         secure: session                              secure: keys
query.shares       secure: session, place, threshold, keys      secure: shares, a ciphertext by place
train              secure: session, shares, quantisation;       arrays: masked, one tensor of bytes;
                   the rest as of any round                     no metrics, no scale
query.unmask       secure: session, survivors, dropped          secure: shares, one by place

A table of bytes by place is written as place (4 bytes), length (2 bytes), bytes, ...; whatever a device sends is read
with doubt, and raises `RefusedReply` alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from ecc_fed.federation.wire.arrays import view
from ecc_fed.federation.wire.checks import RefusedReply, shown
from ecc_fed.federation.wire.records import ARRAYS, CONFIG, SECURE
from ecc_fed.federation.wire.replies import Asked, check_records
from ecc_fed.privacy.secure_aggregation.keys import KEY_BYTES
from ecc_fed.privacy.secure_aggregation.messages import Ending, Inbox, PublicKeys, Roster, Stage
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation

MASKED = "masked"
# What a stage's message to a device is called; that of the stage train is Flower's own.
QUERIES: Mapping[Stage, str] = {"keys": "query.keys", "shares": "query.shares", "unmask": "query.unmask"}
SESSION = "session"
KEYS = "keys"
SHARES = "shares"
_HEAD = struct.Struct("<IH")
_QUANTISATION = ("clipping-range", "bits", "modulus-bytes", "max-weight")


def pack_table(table: Mapping[int, bytes]) -> bytes:
    """The bytes by place, in the order of places."""
    return b"".join(_HEAD.pack(place, len(data)) + data for place, data in sorted(table.items()))


def read_table(data: object, size: int) -> dict[int, bytes]:
    """What `pack_table` wrote, each entry of `size` bytes.

    Raises:
        RefusedReply: it wrote something else.
    """
    if not isinstance(data, bytes) or len(data) % (_HEAD.size + size):
        raise RefusedReply("its table of secure aggregation cannot be read")
    found: dict[int, bytes] = {}
    for start in range(0, len(data), _HEAD.size + size):
        place, length = _HEAD.unpack_from(data, start)
        if length != size or place in found:
            raise RefusedReply("its table of secure aggregation holds a place twice, or another length")
        found[place] = data[start + _HEAD.size : start + _HEAD.size + size]
    return found


def _places(places: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<I", place) for place in places)


def _read_places(data: bytes) -> tuple[int, ...]:
    return tuple(place for (place,) in struct.iter_unpack("<I", data))


def keys_request(session: str) -> ConfigRecord:
    """Stage keys, down."""
    return ConfigRecord({SESSION: session})


def shares_request(roster: Roster) -> ConfigRecord:
    """Stage shares, down."""
    table = pack_table({place: keys.to_bytes() for place, keys in roster.keys.items()})
    return ConfigRecord({SESSION: roster.session, "place": roster.place, "threshold": roster.threshold, KEYS: table})


def train_request(inbox: Inbox, quantisation: Quantisation) -> ConfigRecord:
    """Stage train, down."""
    said = quantisation.clipping_range, quantisation.bits, quantisation.modulus_bytes, quantisation.max_weight
    table = pack_table(inbox.ciphertexts)
    size = len(next(iter(inbox.ciphertexts.values()), b""))
    return ConfigRecord(
        {SESSION: inbox.session, SHARES: table, "size": size, **dict(zip(_QUANTISATION, said, strict=True))}
    )


def unmask_request(ending: Ending) -> ConfigRecord:
    """Stage unmask, down; Flower cannot count an empty value."""
    named = {"survivors": ending.survivors, "dropped": ending.dropped}
    return ConfigRecord(
        {SESSION: ending.session, **{name: _places(places) for name, places in named.items() if places}}
    )


def _record(content: RecordDict) -> Mapping[str, Any]:
    record = content.config_records.get(SECURE)
    if record is None:
        raise ValueError("the message lacks secure aggregation; server and shop must run with the same settings")
    return record


def read_session(content: RecordDict) -> str:
    """The device's side of `keys_request`.

    Raises:
        ValueError: the message holds nothing of it.
    """
    return str(_record(content)[SESSION])


def read_roster(content: RecordDict) -> Roster:
    """The device's side of `shares_request`.

    Raises:
        ValueError: the message holds nothing of it.
    """
    record = _record(content)
    keys = {place: PublicKeys.from_bytes(each) for place, each in read_table(record[KEYS], 2 * KEY_BYTES).items()}
    return Roster(str(record[SESSION]), int(record["place"]), int(record["threshold"]), keys)


def read_inbox(content: RecordDict) -> tuple[Inbox, Quantisation]:
    """The device's side of `train_request`.

    Raises:
        ValueError: the message holds nothing of it.
    """
    record = _record(content)
    clipping_range, bits, modulus_bytes, max_weight = (record[name] for name in _QUANTISATION)
    inbox = Inbox(str(record[SESSION]), read_table(record[SHARES], int(record["size"])))
    return inbox, Quantisation(float(clipping_range), int(bits), int(modulus_bytes), int(max_weight))


def read_ending(content: RecordDict) -> Ending:
    """The device's side of `unmask_request`.

    Raises:
        ValueError: the message holds nothing of it.
    """
    record = _record(content)
    return Ending(str(record[SESSION]), *(_read_places(record.get(name, b"")) for name in ("survivors", "dropped")))


def keys_reply(keys: PublicKeys, answered: ConfigRecord) -> RecordDict:
    """Stage keys, up."""
    return RecordDict({CONFIG: answered, SECURE: ConfigRecord({KEYS: keys.to_bytes()})})


def table_reply(table: Mapping[int, bytes], answered: ConfigRecord) -> RecordDict:
    """Stages shares and unmask, up."""
    return RecordDict({CONFIG: answered, SECURE: ConfigRecord({SHARES: pack_table(table)})})


def masked_reply(packed: NDArray[np.uint8], answered: ConfigRecord) -> RecordDict:
    """Stage train, up: no number that is not masked."""
    return RecordDict({CONFIG: answered, ARRAYS: ArrayRecord({MASKED: Array(packed)})})


def read_keys(content: RecordDict, asked: Asked) -> PublicKeys:
    """The server's side of `keys_reply`.

    Raises:
        RefusedReply: it is no such answer.
    """
    check_records(content, asked, {CONFIG, SECURE})
    data = content.config_records.get(SECURE, ConfigRecord()).get(KEYS)
    if not isinstance(data, bytes) or len(data) != 2 * KEY_BYTES:
        raise RefusedReply("the reply holds no two public keys")
    return PublicKeys.from_bytes(data)


def read_shares(content: RecordDict, asked: Asked, size: int) -> dict[int, bytes]:
    """The server's side of `table_reply`: entries of `size` bytes by place.

    Raises:
        RefusedReply: it is no such answer.
    """
    check_records(content, asked, {CONFIG, SECURE})
    return read_table(content.config_records.get(SECURE, ConfigRecord()).get(SHARES), size)


def read_masked(content: RecordDict, asked: Asked, num_bytes: int) -> NDArray[np.uint8]:
    """The server's side of `masked_reply`, of the length that the run's adapter makes.

    Raises:
        RefusedReply: it is no such answer.
    """
    check_records(content, asked, {CONFIG, ARRAYS})
    record = content.array_records.get(ARRAYS, ArrayRecord())
    if set(record) != {MASKED}:
        raise RefusedReply("the reply holds no masked update")
    try:
        packed = view(record[MASKED])
    except Exception as error:  # whatever foreign bytes bring about
        raise RefusedReply(f"the masked update cannot be read: {shown(str(error))}") from error
    if packed.dtype != np.uint8 or packed.shape != (num_bytes,):
        raise RefusedReply(
            f"the masked update is {packed.dtype} of shape {shown(str(packed.shape))}, not {num_bytes} bytes"
        )
    return packed
