"""Presidio's own patterns behind the order record, by a stand-in, and by the package where it is installed."""

from __future__ import annotations

import time

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction.presidio import CLASSES, PresidioRedaction
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction

from .texts import RECORD, said, sent, taken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我电话13900002222，一直打不通", "我电话[电话1]，一直打不通"),
        ("发票发到foo.bar@qq.com谢谢", "发票发到[邮箱1]谢谢"),
        ("ｆｏｏ＠ｑｑ．ｃｏｍ", "[邮箱1]"),
        ("卡号4111111111111111的", "卡号[银行卡1]的"),
        ("卡号4111111111111112的", "卡号4111111111111112的"),  # no Luhn number
        ("我叫王伟，寄到成都市武侯区桂溪路8号", "我叫王伟，寄到成都市武侯区桂溪路8号"),  # its language models'
        ("好的", "好的"),
        ("", ""),
    ],
)
def test_what_presidio_finds_beside_chinese(presidio: str, text: str, expected: str) -> None:
    session = PresidioRedaction(patterns=False).redact(said(text), None)
    assert sent(session) == [expected]
    assert session.restore(expected).text == text


def test_english_recognisers_serve_english(presidio: str) -> None:
    text = "Call 212-555-0123 or mail a.b@c.co.uk"
    assert sent(PresidioRedaction("en", patterns=False).redact(said(text), None)) == ["Call [phone1] or mail [email1]"]


def test_the_order_record_comes_first_and_patterns_go_on(presidio: str) -> None:
    texts = said("王志强的138 0000 1111", "单号YT9876543210987，发foo@qq.com")
    alone = PresidioRedaction(patterns=False).redact(texts, RECORD)
    assert sent(alone) == ["[姓名1]的[电话1]", "单号YT9876543210987，发[邮箱1]"]
    assert taken(alone)[1] == ("phone", "138 0000 1111")
    assert sent(PresidioRedaction().redact(texts, RECORD))[1] == "单号[订单号1]，发[邮箱1]"


def test_what_is_less_sure_is_left_alone(presidio: str) -> None:
    text = said("account 12345678 please")
    assert taken(PresidioRedaction("en", patterns=False, min_score=0.05).redact(text, None)) == [
        ("bank_card", "12345678")
    ]
    assert taken(PresidioRedaction("en", patterns=False).redact(text, None)) == []
    phone = said("13900002222")
    assert taken(PresidioRedaction(patterns=False, min_score=0.41).redact(phone, None)) == []


def test_a_value_on_a_seam_of_a_long_turn_is_found_whole(presidio: str) -> None:
    for place in (*range(1770, 1800, 5), *range(2035, 2050, 5)):
        text = "好" * place + "foo.bar@qq.com" + "好" * 500
        assert taken(PresidioRedaction(patterns=False).redact(said(text), None)) == [("email", "foo.bar@qq.com")]


def test_long_turns_take_no_more_than_their_share(presidio: str) -> None:
    redaction = PresidioRedaction(patterns=False)

    def seconds(signs: int) -> float:
        started = time.process_time()
        redaction.redact([Turn("customer", ("a-" * signs)[:signs])], None)
        return time.process_time() - started

    small, large = seconds(5_000), seconds(20_000)
    assert large < 8 * small + 0.2


def test_every_type_has_a_class_of_ours() -> None:
    kinds = {"name", "phone", "address", "order", "parcel", "id_card", "bank_card", "account", "email", "number"}
    assert set(CLASSES.values()) <= kinds


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for ask in (PresidioRedaction, PresidioRedaction.check_settings):
        with pytest.raises(ConfigError, match=r"presidio-analyzer.*pip install 'ecc-fed\[presidio\]'"):
            ask()


def test_settings_out_of_range_are_refused(stand_in: None) -> None:
    with pytest.raises(ConfigError, match=r"redaction\.min_score=1\.5"):
        PresidioRedaction(min_score=1.5)
    with pytest.raises(ConfigError, match=r"redaction\.patterns=maybe"):
        PresidioRedaction(patterns="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"redaction\.language=fr"):
        PresidioRedaction("fr")  # type: ignore[arg-type]


def test_where_presidio_finds_nothing_it_is_order_record(stand_in: None) -> None:
    texts = said("王志强，[电话1]，单号SF123456789012", "我叫李芳", "李芳在吗，北京市朝阳区人民路12号")
    assert PresidioRedaction(min_score=1).redact(texts, RECORD) == OrderRecordRedaction().redact(texts, RECORD)


def test_a_domain_that_is_none_makes_no_mail(presidio: str) -> None:
    found = PresidioRedaction("en", patterns=False).redact(said("a.b@c.example and a.b@qq.com"), None)
    assert taken(found) == [("email", "a.b@qq.com")]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("my ssn 856-45-6789 ok", "id_card", "856-45-6789"),
        ("itin 912-70-1234", "id_card", "912-70-1234"),
        ("passport 912803456", "id_card", "912803456"),
        ("license H12234567", "id_card", "H12234567"),
        ("nhs 401-023-2137", "id_card", "401-023-2137"),
        ("nino AB123456C", "id_card", "AB123456C"),
        ("iban GB29NWBK60161331926819", "bank_card", "GB29NWBK60161331926819"),
        ("card 4111 1111 1111 1111", "bank_card", "4111 1111 1111 1111"),
        ("account 945456787654", "bank_card", "945456787654"),
        ("btc 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ", "account", "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ"),
        ("ip 192.168.12.7", "number", "192.168.12.7"),
        ("mac 00:1B:44:11:3A:B7", "number", "00:1B:44:11:3A:B7"),
        ("call +44 20 7946 0958", "phone", "+44 20 7946 0958"),
    ],
)
def test_every_recogniser_of_english_countries_is_asked(text: str, kind: str, value: str) -> None:
    pytest.importorskip("presidio_analyzer", reason="needs pip install 'ecc-fed[presidio]'")
    found = PresidioRedaction("en", patterns=False, min_score=0.05).redact(said(text), None)
    assert taken(found) == [(kind, value)]
