"""What every redaction that finds something must do, whoever finds: there and back, masks, examples, training."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import OrderRecord, Pair, Turn
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.text_masks import masked
from ecc_fed.privacy.redaction.folding import bones
from ecc_fed.privacy.redaction.model import ModelRedaction
from ecc_fed.privacy.redaction.placeholders import pattern_of
from ecc_fed.privacy.redaction.presidio import PresidioRedaction
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction
from ecc_fed.teacher.gateway.examples import redacted_examples
from tests.evolution.fakes import shop

from .test_session import TEXTS
from .texts import RECORD, said, sent

LI = OrderRecord("李芳", "13900002222", "上海市浦东新区中山路8号", ("8765432109876543",), ("YT9876543210123",))
ALL = ("patterns", "order_record", "presidio", "presidio alone", "model", "model alone")
any_text = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(params=ALL)
def redactor(request: pytest.FixtureRequest) -> Redactor:
    name, _, alone = str(request.param).partition(" ")
    if name == "presidio":
        request.getfixturevalue("stand_in")
        return PresidioRedaction(patterns=not alone)
    if name == "model":
        folder: Path = request.getfixturevalue("classifier")
        return ModelRedaction(str(folder), patterns=not alone)
    return PatternRedaction() if name == "patterns" else OrderRecordRedaction()


@any_text
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_what_is_redacted_comes_back_word_for_word_where_values_come_once(redactor: Redactor, texts: list[str]) -> None:
    session = redactor.redact(said(*texts), RECORD)
    wire = sent(session)  # type: ignore[arg-type]
    again = [session.restore(text) for text in wire]
    assert not any(back.unknown for back in again)
    names = [each.placeholder for each in session.hidden if each.placeholder]
    assert len(set(names)) == len(names) and all(name in "".join(wire) for name in names)
    if all("".join(wire).count(name) == 1 for name in names):
        assert [back.text for back in again] == texts


@any_text
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_masks_stand_where_placeholders_stand(redactor: Redactor, texts: list[str]) -> None:
    session = redactor.redact(said(*texts), RECORD)
    assert not any(pattern_of("zh").search(turn.text) for turn in session.masked())
    assert [turn.role for turn in session.masked()] == ["customer"] * len(texts)


def test_known_values_never_leave_where_the_record_is_read(redactor: Redactor) -> None:
    turns = said("王 志强，１３８ ００００ １１１１", "单号SF123456789012，订单2345678901234567，朝阳区人民路12号")
    session = redactor.redact(turns, RECORD)
    left = bones("\n".join(pattern_of("zh").sub("|", turn.text) for turn in session.turns))
    known = {
        kind for kind, value in RECORD.values() if bones(value) in left or (kind == "address" and "人民路" in left)
    }
    assert known <= ({"name"} if redactor.name == "patterns" else set())
    assert {(each.kind, each.value) for each in session.hidden} >= set(RECORD.values())


def test_a_name_is_found_again_in_every_turn(redactor: Redactor) -> None:
    session = redactor.redact([*said("我叫王志强，138 0000 1111"), Turn("agent", "王志强您好")], RECORD)
    assert session.turns[1] == Turn("agent", "[姓名1]您好")
    assert session.restore("[姓名1]，[电话1]").text == "王志强，138 0000 1111"


def test_examples_of_others_are_hidden_and_guarded(redactor: Redactor) -> None:
    examples = (("电话13900002222", "好的，会打13900002222"), ("几天到", "三天"))
    redacted, others = redacted_examples(redactor, examples, (LI, None))
    assert list(redacted) == [("电话[电话1]", "好的，会打[电话1]"), ("几天到", "三天")]
    session = redactor.redact(said("在吗"), RECORD)
    for reply in ("打[电话1]", "打139 0000 2222", "寄到上海市浦东新区中山路8号"):
        assert others.why_refused(reply, session, session.restore(reply))
    assert not others.why_refused("三天", session, session.restore("三天"))


def test_what_is_trained_on_is_masked(redactor: Redactor) -> None:
    pair = Pair(
        pair_id="p",
        session_id="s",
        shop_id="shop_0",
        context=(),
        query="我叫王志强，电话13800001111",
        reply="好的，13800001111",
        customer=RECORD,
    )
    (learned,) = masked(Experience((pair,), ()), redactor, shop()).natural
    assert (learned.query, learned.reply) == ("我叫[姓名x]，电话[电话x]", "好的，[电话x]")


def test_every_dialogue_has_a_map_of_its_own(redactor: Redactor) -> None:
    first, second = (redactor.redact(said(f"电话{number}"), None) for number in ("13800001111", "13800001111，"))
    assert [turn.text for turn in (*first.turns, *second.turns)] == ["电话[电话1]", "电话[电话1]，"]
    other = OrderRecord(phone="13900002222")
    assert redactor.redact(said("电话13900002222"), other).restore("[电话1]").text == "13900002222"
