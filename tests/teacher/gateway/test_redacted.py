"""The gateway with the redactors that work: what leaves, what comes back to whom, and what is counted."""

from __future__ import annotations

import pytest

from ecc_fed.core.records import OrderRecord, RedactionCounts, TeacherReply, Turn
from ecc_fed.core.rows import CloudCalls, calls_of, redaction_of
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction
from ecc_fed.teacher.gateway.cache import ReplyCache
from ecc_fed.teacher.gateway.examples import redacted_examples
from ecc_fed.teacher.simulated.retrieval import RetrievalTeacher

from ..fakes import ScriptedTeacher, gateway, ok, request

WANG = OrderRecord("王志强", "13800001111", "北京市朝阳区人民路12号", ("2345678901234567",), ("SF123456789012",))
LI = OrderRecord("李芳", "13900002222", "上海市浦东新区中山路8号", ("8765432109876543",), ("YT9876543210123",))
EXAMPLES = (
    ("地址改成上海市浦东新区中山路8号", "好的，李芳，已改为上海市浦东新区中山路8号"),
    ("电话13900002222", "收到，会打13900002222"),
    ("几天能到", "亲，一般三天到哦"),
)
CUSTOMERS = (LI, LI, None)


def asked(text: str, customer: OrderRecord | None = WANG, **changes: object):
    given = {"examples": EXAMPLES, "example_customers": CUSTOMERS, "customer": customer} | changes
    return request(text, **given)


@pytest.mark.parametrize("redactor", [PatternRedaction(), OrderRecordRedaction()], ids=lambda each: each.name)
def test_no_number_and_no_address_reaches_the_teacher(redactor):
    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher, redactor=redactor)
    cloud.answer([asked("我电话13800001111，寄北京市朝阳区人民路12号"), asked("单号SF123456789012")])
    sent = "\n".join(teacher.sent)
    assert len(teacher.sent) == 2 and "[电话1]" in sent and "[地址1]" in sent
    for customer in (WANG, LI):
        assert not [value for kind, value in customer.values() if kind != "name" and value in sent]
    assert {entry.redaction for entry in ledger.entries()} == {redactor.name}
    assert sum(entry.num_bytes for entry in ledger.entries() if entry.direction == "up") == len(sent.encode()) - 1


def test_the_order_record_keeps_names_back_too():
    teacher = ScriptedTeacher()
    gateway(teacher, redactor=OrderRecordRedaction())[0].answer([asked("王志强的件呢")])
    assert "[姓名1]的件呢" in teacher.sent[0] and "王志强" not in teacher.sent[0] and "李芳" not in teacher.sent[0]


def test_the_reply_is_restored_for_its_own_customer_and_counted():
    teacher = ScriptedTeacher(lambda *_: ok("好的【电话1】，[数字7]在[地址1]"))
    cloud, _, _ = gateway(teacher, redactor=OrderRecordRedaction())
    (reply,) = cloud.answer([asked("我电话13800001111，寄北京市朝阳区人民路12号")])
    assert reply.text == "好的13800001111，在北京市朝阳区人民路12号"
    # In the examples: an address, a name and a telephone.
    assert reply.redaction == RedactionCounts({"address": 1, "phone": 1}, 3, restored=1, unknown=1)


@pytest.mark.parametrize("said", ["好的[地址1]", "李芳您好", "打13900002222", "会打１３９００００２２２２"])
def test_what_belongs_to_an_examples_customer_is_refused(said):
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: ok(said)), redactor=OrderRecordRedaction())
    (reply,) = cloud.answer([asked("我电话13800001111")])
    assert (reply.text, reply.outcome) == (None, "refused") and "an example's customer" in reply.detail
    assert reply.redaction == RedactionCounts({"phone": 1}, 3, refused=1)
    assert reply.cost_usd > 0


def test_what_a_customer_typed_is_no_value_of_theirs():
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: ok("您说的[原文1]")), redactor=OrderRecordRedaction())
    (reply,) = cloud.answer([asked("[电话1]是什么", examples=(("【电话3】", "好"),), example_customers=(None,))])
    assert reply.text == "您说的[电话1]"
    assert reply.redaction == RedactionCounts({}, 0, restored=1)


def test_the_examples_own_customer_may_be_told_their_values():
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: ok("李芳您好")), redactor=OrderRecordRedaction())
    assert cloud.answer([asked("在吗", customer=LI)])[0].text == "李芳您好"


def test_a_reply_of_nothing_but_unknown_placeholders_is_none():
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: ok("[订单号9] ")), redactor=OrderRecordRedaction())
    (reply,) = cloud.answer([asked("在吗")])
    assert (reply.text, reply.outcome, reply.redaction.unknown) == (None, "malformed", 1)


def test_a_failed_call_counts_what_was_taken_out():
    class Dead(ScriptedTeacher):
        def complete(self, prompts, timeout_seconds):
            raise RuntimeError("gone")

    cloud, _, _ = gateway(Dead(), redactor=OrderRecordRedaction(), max_attempts=1)
    (reply,) = cloud.answer([asked("我电话13800001111")])
    assert reply.text is None and reply.redaction == RedactionCounts({"phone": 1}, 3)


def test_the_simulated_teacher_copies_an_example_and_tells_nobody_anothers_value():
    """Unredacted it tells the second customer the address of the first."""
    teacher = RetrievalTeacher()
    changed = asked("地址改成北京市朝阳区人民路12号")
    (plain,) = gateway(teacher)[0].answer([changed])
    assert LI.address in plain.text
    (reply,) = gateway(teacher, redactor=PatternRedaction())[0].answer([changed])
    assert reply.outcome == "refused"  # 李芳 is in the answer, which patterns do not find there
    cloud, _, _ = gateway(teacher, redactor=OrderRecordRedaction())
    (reply,) = cloud.answer([asked("王志强，地址改成北京市朝阳区人民路12号")])
    assert reply.text == "好的，王志强，已改为北京市朝阳区人民路12号"
    (reply,) = cloud.answer([changed])
    assert reply.outcome == "refused"  # it needs a name, and this customer has told none


def test_the_cache_holds_placeholders(tmp_path):
    path, teacher = tmp_path / "replies.sqlite", ScriptedTeacher()
    cloud, _, _ = gateway(teacher, redactor=OrderRecordRedaction(), cache=(cache := ReplyCache(path)))
    both = [asked("我电话13800001111"), asked("我电话13900002222", customer=LI)]
    assert [reply.text for reply in cloud.answer(both)] == ["回复：我电话13800001111", "回复：我电话13900002222"]
    assert [reply.cached for reply in cloud.answer(both)] == [True, True] and len(teacher.sent) == 1
    cache.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert "我电话[电话1]".encode() in stored and b"13800001111" not in stored and b"13900002222" not in stored


def test_a_value_that_is_split_over_one_customers_examples_is_found():
    examples = (("我电话139", "嗯"), ("几天到", "三天"), ("00002222", "好的"))
    redacted, others = redacted_examples(OrderRecordRedaction(), examples, (LI, WANG, LI))
    assert redacted == [("我电话[电话1]", "嗯"), ("几天到", "三天"), ("[电话1]", "好的")]
    assert others.count == 1


def test_every_customers_examples_have_a_map_of_their_own():
    examples = (
        ("电话13900002222", "好"),
        ("电话13800001111", "好"),
        ("电话13700003333", "好"),
        ("电话13600004444", "好"),
    )
    redacted, others = redacted_examples(OrderRecordRedaction(), examples, (LI, WANG, None, None))
    assert [question for question, _ in redacted] == ["电话[电话1]"] * 4
    assert others.count == 4


def test_examples_without_customers_are_redacted_all_the_same():
    redacted, _ = redacted_examples(OrderRecordRedaction(), EXAMPLES, ())
    assert redacted[1] == ("电话[电话1]", "收到，会打[电话1]")
    assert redacted_examples(OrderRecordRedaction(), (), ())[0] == []


def test_turns_of_both_sides_leave_redacted():
    teacher = ScriptedTeacher()
    turns = (Turn("customer", "我电话138"), Turn("agent", "王志强您好"), Turn("customer", "00001111"))
    gateway(teacher, redactor=OrderRecordRedaction())[0].answer([asked("", turns=turns)])
    assert teacher.sent[0].endswith("顾客：我电话[电话1]\n客服：[姓名1]您好\n顾客：[电话1]\n客服：")


def test_counts_add_up_over_replies():
    first = RedactionCounts({"phone": 2, "order": 1}, 3, restored=1, unknown=2)
    second = RedactionCounts({"name": 1, "phone": 1}, 4, refused=1)
    replies = [TeacherReply("好", "ok", "", redaction=first), TeacherReply(None, "refused", "", redaction=second)]
    total = RedactionCounts({"name": 1, "order": 1, "phone": 3}, 7, restored=1, unknown=2, refused=1)
    assert redaction_of(replies) == total and list(total.values) == ["name", "order", "phone"]
    assert calls_of(replies).redaction == total
    assert (CloudCalls(redaction=first) + CloudCalls(redaction=second)).redaction == total
    assert redaction_of([]) == RedactionCounts()
