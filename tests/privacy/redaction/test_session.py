"""There and back: placeholders, what customers type that looks like one, and hostile texts."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.records import Restored, Turn
from ecc_fed.privacy.redaction.draft import Draft, Found, Place
from ecc_fed.privacy.redaction.folding import bones, plain_of, skeleton_of
from ecc_fed.privacy.redaction.placeholders import LABELS, pattern_of
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction

from .texts import ENGLISH, RECORD, by_patterns, by_record, said, sent, taken

# Pieces of private values, words, marks and look-alikes, and whatever Unicode has.
PIECES = st.sampled_from(
    [
        "13800001111",
        "１３８",
        "0000",
        "1111",
        "王志强",
        "王",
        "志强",
        "SF123456789012",
        "北京市朝阳区人民路12号",
        "阳光花园3栋",
        "[电话1]",
        "【电话 2】",
        "（姓名1）",
        "[原文1]",
        "[",
        "]",
        "电话",
        "1",
        "，",
        " ",
        "\n",
        "\u200b",
        "\x00",
        "⑩",
        "½",
        "㎏",
        "一",
        "两",
        "零",
        "O",
        "l",
        "@",
        "a.b@c.cn",
        "微信abc_12345",
        "我叫",
        "收货人",
        "11010519491231002X",
        "2024-05-12",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join)


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_what_is_redacted_comes_back_word_for_word_where_values_come_once(texts):
    session = by_record(*texts)
    wire = sent(session)
    again = [session.restore(text) for text in wire]
    assert not any(back.unknown for back in again)
    names = [each.placeholder for each in session.hidden if each.placeholder]
    assert len(set(names)) == len(names) and all(name in "".join(wire) for name in names)
    if all("".join(wire).count(name) == 1 for name in names):
        assert [back.text for back in again] == texts


MENTIONS = st.sampled_from(
    [
        "13800001111",
        "１３８ ００００ １１１１",
        "一三八零零零零一一一一",
        "王志强",
        "王 志强",
        "SF123456789012",
        "ｓｆ123456789012",
        "13900002222",
        "139-0000-2222",
        "a.b@c.cn",
        "人民路12号阳光花园",
        "2345678901234567",
        "11010519491231002X",
        "[电话1]",
    ]
)


@given(st.lists(MENTIONS, min_size=1, max_size=8))
def test_values_that_come_again_come_back_equal(mentions):
    """In the form in which they were said first."""
    text = "。好的。".join(mentions)
    session = by_record(text)
    assert sent(session)[0].count("1]") + sent(session)[0].count("2]") >= len(mentions)
    assert bones(session.restore(sent(session)[0]).text) == bones(text)


@given(TEXTS)
def test_one_turn_by_patterns_comes_back_word_for_word_where_values_come_once(text):
    session = by_patterns(text)
    (wire,) = sent(session)
    back = session.restore(wire)
    assert not back.unknown
    placeholders = [each.placeholder for each in session.hidden]
    if all(wire.count(name) == 1 for name in placeholders):
        assert back.text == text
    assert back.values == sum(wire.count(name) for name in placeholders)


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_no_known_value_is_left(texts):
    """Not in a turn, not over a side's turns, in no form that a skeleton sees."""
    session = by_record(*texts)
    left = bones("\n".join(pattern_of("zh").sub("|", text) for text in sent(session)))
    for kind, value in RECORD.values():
        assert bones(value) not in left or kind == "name"
        assert value not in "".join(pattern_of("zh").sub("|", text) for text in sent(session))


@given(TEXTS)
def test_redacting_what_is_redacted_takes_placeholders_alone(text):
    once = sent(by_record(text))
    twice = by_record(*once)
    assert {kind for kind, _ in taken(twice)} <= {"typed", "number", "account", "name", "address", "email"}


@given(st.text(max_size=60))
def test_plain_texts_tell_where_they_come_from(text):
    plain, offsets = plain_of(text)
    assert len(plain) == len(offsets) and list(offsets) == sorted(offsets)
    assert all(0 <= place < len(text) for place in offsets)
    assert len(set(offsets)) == len(text)
    assert "\x00" not in plain


@given(st.lists(st.text(max_size=20), max_size=3))
def test_a_skeleton_knows_the_place_of_every_letter(texts):
    plains = [plain_of(text)[0] for text in texts]
    side = skeleton_of(list(enumerate(plains)))
    assert len(side.text) == len(side.places)
    assert side.text == "".join(bones(plain) for plain in plains)
    for letter, (turn, place) in zip(side.text, side.places, strict=True):
        assert bones(plains[turn][place]) == letter


def test_nothing_matches_across_what_is_taken():
    draft = Draft(said("王[电话1]志强"))
    draft.plain[0] = draft.plain[0].replace("[电话1]", "\x00" * 5)
    assert "王志强" not in draft.speakers()[0].text


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("好的[电话1]", Restored("好的13800001111", 1)),
        ("好的【电话１】", Restored("好的13800001111", 1)),
        ("（电话1）和(电话1)", Restored("13800001111和13800001111", 2)),
        ("[ 电话 1 ]", Restored("13800001111", 1)),
        ("［电话1］〔电话01〕", Restored("1380000111113800001111", 2)),
        ("[电话2]哈", Restored("哈", 0, ("[电话2]",))),
        ("【姓名1】您好，[电话1]", Restored("您好，13800001111", 1, ("[姓名1]",))),
        ("[数字x]不变，(电话 1)也不", Restored("[数字x]不变，(电话 1)也不")),
        ("[[电话1]]", Restored("[13800001111]", 1)),
        ("[phone1]", Restored("[phone1]")),
    ],
)
def test_a_reply_is_restored_and_nothing_unknown_is_shown(reply, expected):
    assert by_record("电话13800001111").restore(reply) == expected


def test_english_placeholders():
    session = OrderRecordRedaction("en").redact(said("I am May Price, 555-123-4567"), ENGLISH)
    assert sent(session) == ["I am [name1], [phone1]"]
    restored = session.restore("Thanks [Name1], we call (phone1) for your order (order 12)")
    assert restored == Restored("Thanks May Price, we call 555-123-4567 for your order (order 12)", 2)


@pytest.mark.parametrize(
    "look_alike", ["[电话1]", "【电话１】", "[ 电话 \n1 ]", "（电话1）", "[原文1]", "[姓名999999]"]
)
def test_what_a_customer_typed_is_given_back_as_typed(look_alike):
    session = by_record(f"{look_alike}是什么，我电话13800001111")
    assert sent(session) == ["[原文1]是什么，我电话[电话1]"]
    assert session.restore("您说的[原文1]").text == f"您说的{look_alike}"
    assert session.restore("您的[电话1]").text == "您的13800001111"


def test_what_is_typed_in_two_ways_comes_back_in_each():
    session = by_patterns("[电话1]", "【电话1】", "[电话1]")
    assert sent(session) == ["[原文1]", "[原文2]", "[原文1]"]
    assert session.restore("[原文2]和[原文1]").text == "【电话1】和[电话1]"


def test_a_value_inside_of_brackets_is_no_placeholder():
    session = by_record("[电话13800001111]")
    assert sent(session) == ["[电话[电话1]]"]
    assert session.restore(sent(session)[0]).text == "[电话13800001111]"


def test_values_that_look_like_placeholders_are_not_restored_twice():
    session = by_patterns("[电话2]，13900002222，13800001111")
    assert session.restore("[原文1]").text == "[电话2]"


def test_every_dialogue_has_a_map_of_its_own():
    redaction = OrderRecordRedaction()
    first, second = (redaction.redact(said(f"电话{number}"), None) for number in ("13900002222", "13700003333"))
    assert sent(first) == sent(second) == ["电话[电话1]"]
    assert first.restore("[电话1]").text == "13900002222"
    assert second.restore("[电话1]").text == "13700003333"


def test_many_values_are_numbered_on():
    numbers = [str(1_000_000 + number) for number in range(12_000)]
    session = by_patterns("，".join(numbers), "x")
    assert sent(session)[0].endswith("[数字12000]")
    assert session.restore("[数字11999]").text == numbers[11_998]


def test_labels_of_a_language_differ():
    for labels in LABELS.values():
        assert len(set(labels.values())) == len(labels)
    assert len({frozenset(labels) for labels in LABELS.values()}) == 1


def test_what_is_taken_is_not_read_again():
    draft = Draft(said("电话13800001111"))
    assert "13800001111" in draft.speakers()[0].text
    draft.take([Found("phone", (Place(0, 2, 13),)), Found("number", (Place(0, 5, 9),))])
    assert [found.kind for found in draft.found] == ["phone"]
    assert draft.speakers()[0].text == "电话" + "\n" * 11
    assert draft.plain == ["电话" + "\x00" * 11]


HOSTILE = {
    "digits": "1",
    "spaced digits": "1 ",
    "keycaps": "1\ufe0f\u20e3",
    "areas": "市",
    "roads": "路1",
    "towns": "某某市某某县某某路",
    "numerals": "一",
    "mails": "a@",
    "names": "收货人王",
    "letters": "a",
    "capitals": "I am Aa ",
    "brackets": "[ ",
    "labels": "[电话",
    "streets": "12 Main ",
    "accounts": "微信是a",
    "codes": "A1",
    "phones": "13800001111,",
    "beginnings": "王志",
    "address": "北京市朝阳",
    "nothing": " ",
    "zeros": "\x00",
    "expanding": "⑩㈱",
}


HAN = [chr(0x4E00 + number) for number in range(400)]
HOSTILE["ever another name"] = "".join(f"收货人王{one}{two}，" for one in HAN[:40] for two in HAN)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_hundred_thousand_signs_take_no_more_than_their_share(unit):
    """Four times the text, about four times the time: what grows with the square takes sixteen."""

    def seconds(signs: int) -> float:
        text, best = (unit * (signs // len(unit) + 1))[:signs], float("inf")
        for _ in range(2):
            started = time.process_time()
            session = OrderRecordRedaction().redact([Turn("customer", text)], RECORD)
            session.restore(session.turns[0].text)
            best = min(best, time.process_time() - started)
        return best

    small, large = seconds(25_000), seconds(100_000)
    assert large < 10 * small + 0.1
    assert large < 10


def test_a_turn_takes_less_than_a_millisecond():
    redaction = PatternRedaction()
    started = time.process_time()
    for _ in range(200):
        session = redaction.redact(said("麻烦寄到北京市朝阳区人民路12号，收货人王伟，电话13800001111"), RECORD)
        session.restore("好的[姓名1]，寄[地址1]")
    assert (time.process_time() - started) / 200 < 1e-3


def test_masks_say_the_class_alone() -> None:
    session = by_record("王志强，电话13800001111或13900002222", "我是王志强[电话7]")
    assert [turn.text for turn in session.masked()] == ["[姓名x]，电话[电话x]或[电话x]", "我是[姓名x][原文x]"]
    english = OrderRecordRedaction("en").redact(said("May Price, call 5551234567"), ENGLISH)
    assert [turn.text for turn in english.masked()] == ["[name x], call [phone x]"]
    assert [turn.role for turn in english.masked()] == ["customer"]


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_masks_stand_where_placeholders_stand(texts: list[str]) -> None:
    session = by_patterns(*texts)
    count = sum(len(pattern_of("zh").findall(turn.text)) for turn in session.turns)
    masks = sum(turn.text.count(f"[{label}x]") for turn in session.masked() for label in LABELS["zh"].values())
    assert masks >= count
    assert not any(pattern_of("zh").search(turn.text) for turn in session.masked())
