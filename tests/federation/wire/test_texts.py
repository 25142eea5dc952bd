"""Texts come across as they are, and what a shop sends in their place is refused by what is wrong with it."""

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ecc_fed.core.aggregation import NOTHING, AdapterUpdate, Exchange
from ecc_fed.core.records import PublicSet
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.limits import ReplyLimits, ReplySettings
from ecc_fed.federation.wire import records, replies
from ecc_fed.federation.wire.checks import RefusedReply
from ecc_fed.federation.wire.records import PUBLIC_REPLIES
from ecc_fed.federation.wire.replies import Asked
from ecc_fed.federation.wire.texts import from_texts, read_replies, to_texts

TEXTS = ("亲,发圆通\u2028呀", "", '"quoted"\n', "x" * 7)
ASKED = Asked("0123", "train", 1, "a")
LIMITS = ReplyLimits(ReplySettings(max_characters=10), max_examples=100)


def test_texts_survive_the_journey() -> None:
    assert from_texts(to_texts(TEXTS)) == TEXTS
    assert read_replies(to_texts(TEXTS), 4, 10) == TEXTS
    assert from_texts(None) == ()


def test_half_a_character_of_an_honest_model_is_replaced() -> None:
    assert read_replies(to_texts(["a\udc80b"]), 1, 10) == ("a?b",)


def raw(data: object) -> ConfigRecord:
    return ConfigRecord({"texts": data})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "the reply holds no replies to the public queries"),
        (ConfigRecord({"other": b"[]"}), "holds no replies"),
        (ConfigRecord({"texts": b'["", ""]', "more": 1}), "holds no replies"),
        (raw('["", ""]'), "holds no replies"),
        (raw(b"\xff"), "cannot be read"),
        (raw(b"["), "cannot be read"),
        (raw(b"[" * 200), "cannot be read"),
        (raw(b'{"0": "a", "1": "b"}'), "are no list of texts"),
        (raw(b'["a", 3]'), "are no list of texts"),
        (raw(b'["a", ["b"]]'), "are no list of texts"),
        (raw(b'["a"]'), "1 replies came to 2 public queries"),
        (raw(b"[]"), "0 replies came to 2 public queries"),
        (raw(b'["a", "b", "c"]'), "3 replies came to 2 public queries"),
        (to_texts(["a", "b" * 11]), "the reply to public query 2 has 11 characters; replies.max_characters is 10"),
        (to_texts(["b" * 100_000, "a"]), "take 100009 bytes; 250 are the most"),
        (raw(rb'["a", "\ud800"]'), "public query 2 holds half a character"),
    ],
)
def test_what_lies_is_refused(record: ConfigRecord | None, reason: str) -> None:
    with pytest.raises(RefusedReply, match=reason) as caught:
        read_replies(record, 2, 10)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


def test_the_longest_sound_replies_are_taken_however_they_are_written() -> None:
    assert read_replies(to_texts(["😀" * 10, "\x01" * 10]), 2, 10) == ("😀" * 10, "\x01" * 10)
    escaped = b'["' + rb"\ud83d\ude00" * 10 + b'", "' + rb"\u0001" * 10 + b'"]'
    assert read_replies(raw(escaped), 2, 10) == ("😀" * 10, "\x01" * 10)


def reply(*texts: str) -> RecordDict:
    answered = ConfigRecord({"run": "0123", "phase": "train", "server-round": 1, "shop-id": "a"})
    return replies.train_reply(AdapterUpdate("a", 1, {}, 3, replies=texts), NOTHING, answered)


def read(content: RecordDict, num_replies: int) -> AdapterUpdate:
    rules = {"mixed_ranks": False, "masked": False, "num_replies": num_replies}
    return replies.read_update(content, ASKED, {}, LIMITS, **rules)  # type: ignore[arg-type]


def test_replies_come_with_the_update_where_they_were_asked_for_and_are_refused_elsewhere() -> None:
    assert read(reply("x", "y"), 2).replies == ("x", "y")
    assert PUBLIC_REPLIES not in reply()
    assert read(reply(), 0).replies == ()
    with pytest.raises(RefusedReply, match="holds public-replies, which was not asked for"):
        read(reply("x"), 0)
    with pytest.raises(RefusedReply, match="holds no replies to the public queries"):
        read(reply(), 2)
    with pytest.raises(RefusedReply, match="holds no replies to the public queries"):
        read(RecordDict({**reply("x"), PUBLIC_REPLIES: MetricRecord({"texts": 1})}), 1)


@pytest.mark.parametrize("public", [PublicSet(("问1", "q2")), PublicSet(("问1", "q2"), ("答", ""), asks=False), None])
def test_a_public_set_goes_down_whole_and_every_byte_of_it_counts(public: PublicSet | None) -> None:
    config = records.train_config(2, Exchange(up=NOTHING))
    content = records.instructions(ArrayRecord(), config, "0123", public=public)
    assert records.read_train_request(content).public == public
    identify_process(1)
    sizes = {e.kind: e.num_bytes for e in records.traffic_entries("a", 2, "down", Message(content, 2, "train"))}
    plain = records.instructions(ArrayRecord(), config, "0123")
    expected = {e.kind: e.num_bytes for e in records.traffic_entries("a", 2, "down", Message(plain, 2, "train"))}
    assert (sizes.pop("envelope") > expected.pop("envelope")) == (public is not None)
    if public is not None:
        expected["public_queries"] = len('["问1", "q2"]'.encode()) + len("texts") + len("asks") + 1
    if public is not None and public.agreed:
        expected["agreed_replies"] = len('["答", ""]'.encode()) + len("texts")
    assert sizes == expected


def test_every_byte_of_the_replies_counts() -> None:
    identify_process(1)
    down = Message(RecordDict(), 2, "train")
    entries = records.traffic_entries("a", 1, "up", Message(reply("亲", ""), reply_to=down))
    sizes = {entry.kind: entry.num_bytes for entry in entries}
    assert sizes["public_replies"] == len('["亲", ""]'.encode()) + len("texts")
    assert sizes.keys() == {"config", "metrics", "public_replies", "envelope"}


def test_agreed_replies_belong_to_their_queries() -> None:
    with pytest.raises(ValueError, match="1 agreed replies came to 2 public queries"):
        PublicSet(("a", "b"), ("c",))
