"""What an example's customer said reaches nobody else."""

import pytest

from ecc_fed.core.records import OrderRecord
from ecc_fed.privacy.redaction import NoRedaction
from ecc_fed.privacy.redaction.others import Others
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction

from .texts import ENGLISH, RECORD, said

OTHER = OrderRecord("李芳", "13900002222", "上海市浦东新区中山路8号", ("8765432109876543",), ("YT9876543210123",))
REDACTION = OrderRecordRedaction()
EXAMPLES = [
    REDACTION.redact(said("我叫李芳，电话13900002222", "不是13700003333"), OTHER),
    REDACTION.redact(said("微信xiao_fang99"), None),
]
OTHERS = Others.of(EXAMPLES)


def why(reply: str, *own: str, known: OrderRecord | None = RECORD) -> str:
    session = REDACTION.redact(said(*(own or ("在吗",))), known)
    return OTHERS.why_refused(reply, session, session.restore(reply))


def test_what_the_examples_hide_is_counted():
    assert OTHERS.count == 4
    assert OTHERS.placeholders == {"[姓名1]", "[电话1]", "[电话2]", "[账号1]"}


@pytest.mark.parametrize(
    "reply",
    [
        "打[电话1]",
        "【电话2】登记了",
        "李芳您好",
        "李 芳您好",
        "打13900002222",
        "打１３９ ００００ ２２２２",
        "一三九零零零零二二二二",
        "13700003333登记了",
        "寄到上海市浦东新区中山路8号",  # on the record, never said
        "8765432109876543在路上",
        "加xiao_fang99",
    ],
)
def test_a_reply_with_an_examples_value_or_placeholder_is_refused(reply):
    assert "an example's customer" in why(reply)


@pytest.mark.parametrize(
    ("reply", "own"),
    [
        ("好的", ()),
        ("[地址9]", ()),  # of nobody: left out, and no reason to refuse
        ("打[电话1]", ("我电话13800001111",)),  # this customer's own
        ("13900002222登记了", ("我电话13900002222",)),
        ("李四您好", ()),
    ],
)
def test_other_replies_pass(reply, own):
    assert why(reply, *own) == ""


def test_what_is_on_the_own_record_is_nobody_elses():
    assert why("李芳您好", known=OrderRecord(name="李芳")) == ""
    assert why("李芳您好", known=None) != ""


def test_a_value_that_the_customer_said_in_the_clear_is_theirs():
    session = PatternRedaction().redact(said("李芳在你们这上班吗"), None)
    assert session.turns[0].text == "李芳在你们这上班吗"
    assert OTHERS.why_refused("李芳在的", session, session.restore("李芳在的")) == ""


def test_names_and_addresses_by_shape_alone_refuse_nothing():
    """An everyday word that was taken for a name would have every reply with it refused."""
    others = Others.of([PatternRedaction().redact(said("收货人高兴，寄到成都市武侯区桂溪路8号"), None)])
    session = REDACTION.redact(said("在吗"), None)
    assert others.placeholders == {"[姓名1]", "[地址1]"}
    assert others.why_refused("很高兴为您服务", session, session.restore("很高兴为您服务")) == ""


def test_patterns_alone_refuse_by_the_record_too():
    others = Others.of([PatternRedaction().redact(said("李芳在吗"), OTHER)])
    session = PatternRedaction().redact(said("在吗"), None)
    assert others.why_refused("李芳您好", session, session.restore("李芳您好"))


def test_english_names_are_refused_as_words():
    others = Others.of([OrderRecordRedaction("en").redact(said("hello"), OrderRecord(name="May"))])
    session = OrderRecordRedaction("en").redact(said("hello"), ENGLISH)
    for reply, refused in (("You may ask", False), ("Hello May", True), ("Maybe", False)):
        assert bool(others.why_refused(reply, session, session.restore(reply))) is refused


def test_without_redaction_nothing_is_refused():
    others = Others.of([NoRedaction().redact(said("我叫李芳"), OTHER)])
    session = NoRedaction().redact(said("在吗"), RECORD)
    assert others.why_refused("李芳您好", session, session.restore("李芳您好")) == ""
