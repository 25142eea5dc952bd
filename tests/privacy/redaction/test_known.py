"""What the order record holds is found however it is written, and nothing else is taken for it."""

import pytest

from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction

from .texts import ENGLISH, RECORD, by_patterns, by_record, said, sent, taken


@pytest.mark.parametrize(
    "written",
    [
        "13800001111",
        "１３８００００１１１１",
        "138 0000 1111",
        "1 3 8 0 0 0 0 1 1 1 1",
        "138-0000-1111",
        "138.0000.1111",
        "一三八零零零零一一一一",
        "幺三八〇〇〇〇幺幺幺幺",
        "壹叁捌零零零零壹壹壹壹",
        "138零零零零1111",
        "①③⑧⓪⓪⓪⓪①①①①",
        "⑬800001111",
        "𝟏𝟑𝟖𝟎𝟎𝟎𝟎𝟏𝟏𝟏𝟏",
        "١٣٨٠٠٠٠١١١١",
        "138\u200b0000\u200b1111",
        "138\u00ad00001111",
        "l38OOOO1111",
        "I38ООΟΟ1111",
        "１３８　００００　１１１１",
    ],
)
def test_a_phone_is_found_however_it_is_written(written):
    session = by_record(f"我电话{written}，记得打")
    assert sent(session) == ["我电话[电话1]，记得打"]
    assert session.restore("打[电话1]").text == f"打{written}"


@pytest.mark.parametrize("redact", [by_record, by_patterns])
def test_an_emoji_number_is_found(redact):
    keycaps = "".join(f"{digit}\ufe0f\u20e3" for digit in "13800001111")
    assert sent(redact(keycaps)) == ["[电话1]\ufe0f\u20e3"]


def test_two_numbers_that_share_a_sign():
    assert sent(by_record("1380000111⑪3900002222")) == ["[电话1][电话2]"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("王志强", "[姓名1]"),
        ("王 志 强收", "[姓名1]收"),
        ("王·志·强", "[姓名1]"),
        ("他叫志强", "他叫志强"),
        ("国王，志强", "国王，志强"),
        ("单号SF123456789012到哪了", "单号[快递单号1]到哪了"),
        ("ｓｆ１２３４５６７８９０１２", "[快递单号1]"),
        ("ЅF123456789012", "[快递单号1]"),
        ("S F 1 2 3 4 5 6 7 8 9 0 1 2", "[快递单号1]"),
        ("123456789012这个件", "[快递单号1]这个件"),
        ("订单2345678901234567", "订单[订单号1]"),
        ("2345 6789 0123 4567", "[订单号1]"),
        ("送到北京市朝阳区人民路12号阳光花园3栋1201室", "送到[地址1]"),
        ("送到北京市 朝阳区，人民路１２号，阳光花园3栋1201室吧", "送到[地址1]吧"),
        ("朝阳区人民路12号", "[地址1]"),
        ("北京市朝阳区的人民路12号阳光花园", "[地址1]"),
        ("a13800001111@qq.com", "[邮箱1]"),
        ("就在阳光花园", "就在[地址1]"),
        ("北京市有货吗", "北京市有货吗"),
        ("货号1201", "货号1201"),
    ],
)
def test_values_of_every_class_in_one_turn(text, expected):
    assert sent(by_record(text)) == [expected]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["我电话138", "0000", "1111哈"], ["我电话[电话1]", "[电话1]", "[电话1]哈"]),
        (["前面是138哦", "后面是00001111"], ["前面是[电话1]哦", "后面是[电话1]"]),
        (["前面138，中间0000，后面1111"], ["前面[电话1]，中间[电话1]，后面[电话1]"]),
        (["我叫王志", "强"], ["我叫[姓名1]", "[姓名1]"]),
        (["单号SF1234", "56789012"], ["单号[快递单号1]", "[快递单号1]"]),
        (["一三八零零", "零零一一一一"], ["[电话1]", "[电话1]"]),
        (["寄北京市朝阳区人民", "路12号阳光花园3栋1201室"], ["寄[地址1]", "[地址1]"]),
    ],
)
def test_values_that_are_split(texts, expected):
    session = by_record(*texts)
    assert sent(session) == expected
    value = next(each.value for each in session.hidden if each.placeholder)
    assert value in {value for _, value in RECORD.values()}


def test_a_value_is_split_over_one_sides_turns_and_not_over_both():
    turns = [Turn("customer", "我电话138"), Turn("agent", "嗯嗯"), Turn("customer", "00001111")]
    session = OrderRecordRedaction().redact(turns, RECORD)
    assert sent(session) == ["我电话[电话1]", "嗯嗯", "[电话1]"]
    both = [Turn("customer", "我叫王志"), Turn("agent", "强烈推荐")]
    assert sent(OrderRecordRedaction().redact(both, RECORD)) == ["我叫[姓名1]", "强烈推荐"]


def test_agents_turns_are_redacted_too():
    session = OrderRecordRedaction().redact([Turn("agent", "王志强您好，会打13800001111")], RECORD)
    assert sent(session) == ["[姓名1]您好，会打[电话1]"]


def test_equal_values_have_one_placeholder_and_others_another():
    session = by_record("13800001111，不是13900002222", "１３８００００１１１１和13900002222")
    assert sent(session) == ["[电话1]，不是[电话2]", "[电话1]和[电话2]"]
    assert taken(session) == [("phone", "13800001111"), ("phone", "13900002222")]


def test_values_are_numbered_in_the_order_in_which_they_were_said():
    assert taken(by_record("13900002222，不对，是13800001111")) == [("phone", "13900002222"), ("phone", "13800001111")]


def test_a_name_within_the_address_is_a_part_of_it():
    record = OrderRecord(name="金桂", address="杭州市西湖区文一路8号金桂苑2栋301室")
    session = by_record("金桂，杭州市西湖区文一路8号金桂苑2栋301室", known=record)
    assert sent(session) == ["[姓名1]，[地址1]"]


def test_a_short_address_is_found_as_a_whole():
    record = OrderRecord(address="朝阳里")
    assert sent(by_record("送朝阳里，不是朝阳", known=record)) == ["送[地址1]，不是朝阳"]
    english = OrderRecord(address="12 A Street")
    texts = sent(OrderRecordRedaction("en").redact(said("12 a day", "to 12 A Street"), english))
    assert texts == ["12 a day", "to [address1]"]


def test_a_name_of_one_sign_twice_is_found_behind_that_sign():
    assert sent(by_record("王，王王在吗", known=OrderRecord(name="王王"))) == ["王，[姓名1]在吗"]


def test_a_taken_value_does_not_hide_the_rest_of_an_address():
    record = OrderRecord(address="杭州市西湖区文一路8号[电话1]金桂苑2栋301室")
    text = sent(by_record("杭州市西湖区文一路8号[电话1]金桂苑2栋301室", known=record))[0]
    assert "西湖" not in text and "301" not in text and "金桂" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am May Price, call 555-123-4567", "I am [name1], call [phone1]"),
        ("PRICE, MAY", "[name1]"),
        ("ＭＡＹ ＰＲＩＣＥ", "[name1]"),
        ("Ship to 12 Main Street please", "Ship to [address1] please"),
        ("1z999aa10123456784", "[parcel1]"),
        ("my order 12345678", "my order [order1]"),
        ("the price may change", "the price may change"),
        ("dismay priced", "dismay priced"),
        ("it remains in the mainstream", "it remains in the mainstream"),
    ],
)
def test_english_records(text, expected):
    assert sent(OrderRecordRedaction("en").redact(said(text), ENGLISH)) == [expected]


def test_a_single_english_name_is_no_everyday_word():
    record = OrderRecord(name="May")
    texts = sent(OrderRecordRedaction("en").redact(said("may I ask", "it is May here", "MAY"), record))
    assert texts == ["may I ask", "it is [name1] here", "[name1]"]


def test_the_record_of_another_and_none_find_nothing():
    assert sent(by_record("王志强在吗", known=OrderRecord(name="李四"))) == ["王志强在吗"]
    assert sent(by_record("王志强在吗", known=None)) == ["王志强在吗"]
    assert sent(by_record("王在吗", known=OrderRecord(name="王"))) == ["王在吗"]


def test_patterns_alone_do_not_look_at_the_record():
    session = PatternRedaction().redact(said("王志强在吗"), RECORD)
    assert sent(session) == ["王志强在吗"]
    assert {(each.kind, each.value) for each in session.hidden} == set(RECORD.values())
