"""What travels, there and back, and what of it is not believed."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from ecc_fed.federation.secure_aggregation import wire
from ecc_fed.federation.wire.checks import RefusedReply
from ecc_fed.federation.wire.replies import Asked
from ecc_fed.privacy.secure_aggregation.messages import Ending, Inbox, PublicKeys, Roster
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation

KEYS = PublicKeys(b"c" * 32, b"m" * 32)
ANSWERED = ConfigRecord({"run": "r", "phase": "keys", "server-round": 1, "shop-id": "a"})
ASKED = Asked("r", "keys", 1, "a")


def content(record: ConfigRecord) -> RecordDict:
    return RecordDict({"secure-aggregation": record})


def test_requests_come_as_they_were_sent() -> None:
    roster = Roster("s", 3, 2, {3: KEYS, 70_000: PublicKeys(b"x" * 32, b"y" * 32)})
    assert wire.read_roster(content(wire.shares_request(roster))) == roster
    assert wire.read_session(content(wire.keys_request("s"))) == "s"
    quantisation = Quantisation(16.0, 28, 6, 640)
    for inbox in (Inbox("s", {1: b"abc", 2: b"def"}), Inbox("s", {})):
        assert wire.read_inbox(content(wire.train_request(inbox, quantisation))) == (inbox, quantisation)
    for ending in (Ending("s", (0, 70_000), (3,)), Ending("s", (1,), ())):
        assert wire.read_ending(content(wire.unmask_request(ending))) == ending
    with pytest.raises(ValueError, match="server and shop must run with the same settings"):
        wire.read_roster(RecordDict())


def test_replies_come_as_they_were_sent() -> None:
    assert wire.read_keys(wire.keys_reply(KEYS, ANSWERED), ASKED) == KEYS
    table = {1: b"ab", 9: b"cd"}
    assert wire.read_shares(wire.table_reply(table, ANSWERED), ASKED, 2) == table
    packed = np.arange(12, dtype=np.uint8)
    assert np.array_equal(wire.read_masked(wire.masked_reply(packed, ANSWERED), ASKED, 12), packed)


@pytest.mark.parametrize(
    "data", [None, "text", 3, b"\x00", wire.pack_table({1: b"abc"}), wire.pack_table({1: b"ab"}) * 2]
)
def test_a_broken_table_is_refused(data) -> None:
    with pytest.raises(RefusedReply, match="table of secure aggregation"):
        wire.read_table(data, 2)


@pytest.mark.parametrize("data", ["x", b"k" * 63, b"k" * 65, 7])
def test_keys_of_another_length_are_refused(data) -> None:
    reply = RecordDict({"config": ANSWERED, "secure-aggregation": ConfigRecord({"keys": data})})
    with pytest.raises(RefusedReply, match="no two public keys"):
        wire.read_keys(reply, ASKED)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (ArrayRecord(), "no masked update"),
        (ArrayRecord({"other": Array(np.zeros(12, np.uint8))}), "no masked update"),
        (ArrayRecord({"masked": Array(np.zeros(11, np.uint8))}), "not 12 bytes"),
        (ArrayRecord({"masked": Array(np.zeros(12, np.float32))}), "not 12 bytes"),
        (ArrayRecord({"masked": Array("uint8", (12,), "numpy.ndarray", b"junk")}), "cannot be read"),
    ],
)
def test_a_masked_update_of_another_form_is_refused(arrays: ArrayRecord, text: str) -> None:
    with pytest.raises(RefusedReply, match=text):
        wire.read_masked(RecordDict({"config": ANSWERED, "arrays": arrays}), ASKED, 12)


def test_answers_to_something_else_or_with_more_in_them_are_refused() -> None:
    with pytest.raises(RefusedReply, match="answers phase keys, not unmask"):
        wire.read_shares(wire.table_reply({}, ANSWERED), Asked("r", "unmask", 1, "a"), 2)
    more = wire.keys_reply(KEYS, ANSWERED)
    more["metrics"] = ConfigRecord({"loss": 1.0})
    with pytest.raises(RefusedReply, match="holds metrics, which was not asked for"):
        wire.read_keys(more, ASKED)
