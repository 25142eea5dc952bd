"""A reply is right when it states the fact and no competing value; substring traps stay shut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.facts import competing_values, find_form, states_all, states_fact
from ecc_fed.core.truth import Fact


def fact(accepted, competing=()):
    return Fact("k", "kind", "shop", tuple(accepted), tuple(competing))


courier = fact(["顺丰", "顺丰速运"], ["圆通", "中通"])
price = fact(["9.9元", "9.9"], ["19.9元", "19.9", "99元"])


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("亲,默认发顺丰哦", True),
        ("亲,默认发圆通哦", False),
        ("顺丰、圆通、中通都有的", False),
        ("亲,稍等帮您看下", False),
        ("", False),
    ],
)
def test_naming_every_courier_is_wrong(reply, right):
    assert states_fact(reply, courier) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("一共9.9元", True),
        ("一共19.9元", False),
        ("原价19.9元,现在9.9元", False),
        ("一共9.95元", False),
        ("一共29.9元", False),
        ("型号A.9.9", True),
    ],
)
def test_a_number_inside_a_longer_number_is_not_stated(reply, right):
    assert states_fact(reply, price) is right


@pytest.mark.parametrize(
    ("text", "form", "starts"),
    [
        ("还剩12.5元", "5", []),
        ("还剩12.5元", "12", []),
        ("还剩12.5元", "2.5", []),
        ("还剩12.5元", "12.5", [2]),
        ("125元", "25", []),
        ("125元", "12", []),
        ("共12.", "12", [1]),
        ("共12.谢谢", "12", [1]),
        (".5折", "5", [1]),
        ("x.5", "5", [2]),
        ("5", "5", [0]),
        ("5.", "5", [0]),
        ("1.25和2", "2", [5]),
        ("5和15和5", "5", [0, 5]),
        ("9.9元", "元", [3]),
    ],
)
def test_digits_on_the_other_side_of_a_point_belong_to_the_number(text, form, starts):
    assert find_form(text, form) == [(start, start + len(form)) for start in starts]


@pytest.mark.parametrize(
    ("text", "form", "starts"),
    [
        ("XXL", "XL", []),
        ("XLS", "XL", []),
        ("XL码", "XL", [0]),
        ("选XL", "XL", [1]),
        ("大L", "L", [1]),
        ("L大", "L", [0]),
        ("L2", "L", [0]),
        ("2L", "L", [1]),
        ("Aa", "大", []),
        ("买大衣", "大", [1]),
    ],
)
def test_only_latin_letters_lengthen_a_latin_word(text, form, starts):
    assert find_form(text, form) == [(start, start + len(form)) for start in starts]


@pytest.mark.parametrize(
    ("text", "form", "stated"),
    [
        ("Two days at most", "two days", True),
        ("it is 65.99 DOLLARS", "65.99 dollars", True),
        ("within two days.", "two days", True),
        ("thirty-five days", "five days", False),
        ("twenty five days", "five days", False),
        ("a hundred and five days", "five days", False),
        ("1-2 days", "2 days", False),
        ("1 to 2 days", "2 days", False),
        ("one or two days", "two days", False),
        ("one or two days", "one or two days", True),
        ("8 to 10 pm", "10 pm", False),
        ("8 am to 10 pm", "8 am to 10 pm", True),
        ("a $5-$10 voucher", "$5", False),
        ("a $5-$10 voucher", "$10", False),
        ("it costs $5.", "$5", True),
        ("it costs $5.50", "$5", False),
        ("it costs $1,299", "$1", False),
        ("for $39, 20 are left", "$39", True),
        ("1,120 cm wide", "120 cm", False),
        ("8-12% off", "12% off", False),
        ("sky-blue", "blue", False),
        ("a cotton-linen mix", "cotton", False),
        ("navy!", "Navy", True),
        ("this afternoon", "noon", False),
        ("on October 18", "October 1", False),
        ("on October 8th", "October 8", True),
    ],
)
def test_english_values_are_whole_amounts_in_any_case(text, form, stated):
    assert bool(find_form(text, form)) is stated


def test_a_letter_that_lengthens_when_lowered_moves_no_span():
    assert find_form("İ ships with PARCELWAY", "Parcelway") == [(13, 22)]


def test_two_days_are_48_hours_and_not_48_days():
    fact_ = fact(["48 hours", "two days", "2 days"], ["24 hours", "one day", "72 hours", "three days"])
    for reply in ("We ship within 48 hours.", "Two days at most!", "It takes 2 days"):
        assert states_fact(reply, fact_)
    for reply in ("48 days", "two to three days", "Two days, or three days", "thirty-two days", "1-2 days"):
        assert not states_fact(reply, fact_), reply


def test_a_value_competes_wherever_it_stands_outside_an_accepted_span():
    size = fact(["12.5"], ["5", "2.5", "25"])
    assert competing_values("12.5", size) == []
    assert competing_values("12.5或5", size) == ["5"]
    assert competing_values("25和12.5和2.5", size) == ["2.5", "25"]
    assert competing_values("甲乙丙", fact(["甲乙丙"], ["甲乙", "乙", "乙丙", "甲乙丙丁"])) == []
    # A competing form that sticks out of an accepted one is stated.
    assert competing_values("满两百减二十", fact(["满两百"], ["两百减二十"])) == ["两百减二十"]
    assert competing_values("甲乙丙", fact(["甲乙"], ["乙丙"])) == ["乙丙"]
    assert competing_values("甲乙丙", fact(["乙丙"], ["甲乙"])) == ["甲乙"]


def test_a_competing_form_inside_an_accepted_one_does_not_compete():
    day = fact(["48小时内"], ["8小时内", "48小时"])
    assert competing_values("我们48小时内发货", day) == []
    assert states_fact("我们48小时内发货", day)
    assert competing_values("48小时内发货,最迟48小时", day) == ["48小时"]


def test_latin_words_are_whole():
    size = fact(["XL"], ["L", "XXL"])
    assert states_fact("建议XL码", size)
    assert not states_fact("建议XXL码", size)
    assert find_form("建议XXL码", "XL") == []
    assert competing_values("建议XL码,L码偏小", size) == ["L"]


def test_repeated_characters_give_every_span():
    assert find_form("亲亲亲", "亲亲") == [(0, 2), (1, 3)]


def test_all_facts_are_needed():
    assert states_all("顺丰发货,一共9.9元", [courier, price])
    assert not states_all("顺丰发货", [courier, price])
    with pytest.raises(
        ValueError, match=r"^states_all needs at least one fact; filter the queries without facts first$"
    ):
        states_all("顺丰", [])


@given(st.text(max_size=20), st.text(max_size=20))
def test_chinese_values_are_found_in_any_surrounding(before, after):
    reply = f"{before}顺丰{after}"
    assert find_form(reply, "顺丰")
    assert states_fact(reply, courier) == (not {"圆通", "中通"} & set(competing_values(reply, courier)))


@given(st.from_regex(r"[1-9][0-9]{0,3}", fullmatch=True), st.from_regex(r"[0-9]{1,3}", fullmatch=True))
def test_a_number_never_matches_with_more_digits_on_a_side(number, more):
    for text in (number + more, more + number, f"{more}.{number}", f"{number}.{more}"):
        spans = find_form(text, number)
        assert all(text[start:end] == number for start, end in spans)
        assert (0, len(number)) not in spans or text == number
