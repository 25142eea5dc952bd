import random
import threading
import time
from dataclasses import replace

import pytest

from ecc_fed.core.errors import ConfigError, TeacherError
from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.teacher.gateway.booking import MARGIN
from ecc_fed.teacher.gateway.budget import Budget, Spending
from ecc_fed.teacher.gateway.cache import ReplyCache
from ecc_fed.teacher.gateway.retry import RetryPolicy

from ..fakes import EXAMPLES, ScriptedTeacher, StarRedactor, build_prompt, failed, gateway, ok, request

QUESTIONS = [request(f"问题{number}") for number in range(10)]


def up_bytes(ledger):
    return sum(entry.num_bytes for entry in ledger.entries() if entry.direction == "up")


def test_replies_keep_the_order_and_carry_their_usage():
    cloud, _, _ = gateway(ScriptedTeacher())
    replies = cloud.answer(QUESTIONS)
    assert [reply.text for reply in replies] == [f"回复：问题{number}" for number in range(10)]
    assert {reply.outcome for reply in replies} == {"ok"}
    assert replies[0].cost_usd == pytest.approx((10 * 1_000 + 5 * 2_000) / 1e6)
    assert (replies[0].input_tokens, replies[0].output_tokens, replies[0].latency_seconds) == (10, 5, 0.5)
    assert not any(reply.cached for reply in replies)


def test_no_requests_no_replies():
    cloud, ledger, _ = gateway(ScriptedTeacher())
    assert cloud.answer([]) == []
    assert ledger.entries() == []


# Ledger


def test_the_ledger_holds_every_byte_of_prompt_and_reply():
    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher)
    replies = cloud.answer(QUESTIONS)
    assert up_bytes(ledger) == sum(len(text.encode()) for text in teacher.sent)
    assert sum(e.num_bytes for e in ledger.entries() if e.direction == "down") == sum(
        len(reply.text.encode()) for reply in replies
    )


def test_an_entry_for_every_part():
    cloud, ledger, _ = gateway(ScriptedTeacher())
    cloud.answer([request("在吗👍🏽", shop_id="shop 7", server_round=3, purpose="pseudo_label")])
    prompt = build_prompt(EXAMPLES, (Turn("customer", "在吗👍🏽"),))
    entries = ledger.entries()
    assert [(e.direction, e.kind, e.num_bytes) for e in entries] == [
        ("up", "instruction", prompt.few_shot.instruction_bytes),
        ("up", "few_shot_examples", prompt.few_shot.examples_bytes),
        ("up", "query", prompt.query_bytes),
        ("down", "reply", len("回复：在吗👍🏽".encode())),
    ]
    for entry in entries:
        assert (entry.shop_id, entry.server_round, entry.destination) == ("shop 7", 3, "cloud_teacher")
        assert entry.redaction == "none"
        assert entry.details["purpose"] == "pseudo_label"
        assert (entry.details["attempt"], entry.details["outcome"]) == (1, "ok")


@pytest.mark.parametrize("max_parallel", [1, 8])
@pytest.mark.parametrize("max_batch", [1, 3, 100])
def test_replies_and_ledger_do_not_depend_on_threads_or_batches(max_parallel, max_batch):
    def script(prompt, attempt):
        time.sleep(random.random() * 2e-3)
        return failed("unavailable") if prompt.turns[-1].text.endswith(("3", "5")) and attempt == 1 else None

    plain, plain_ledger, _ = gateway(ScriptedTeacher(script), max_parallel=1)
    other, ledger, _ = gateway(ScriptedTeacher(script, max_batch), max_parallel=max_parallel)
    assert [reply.text for reply in other.answer(QUESTIONS)] == [reply.text for reply in plain.answer(QUESTIONS)]
    assert ledger.entries() == plain_ledger.entries()


def test_equal_prompts_of_a_shop_are_sent_once():
    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher)
    replies = cloud.answer([request("在吗"), request("在吗"), request("在吗", shop_id="other")])
    assert [reply.text for reply in replies] == ["回复：在吗"] * 3
    assert [reply.cached for reply in replies] == [False, True, False]
    assert (replies[1].input_tokens, replies[1].cost_usd) == (0, 0.0)
    assert len(teacher.sent) == 2
    assert {entry.shop_id for entry in ledger.entries()} == {"shop", "other"}


# Cache


def test_a_replay_gives_equal_replies_and_sends_nothing(tmp_path):
    first, _, _ = gateway(ScriptedTeacher(), cache=ReplyCache(tmp_path / "replies.sqlite"))
    expected = first.answer(QUESTIONS)
    teacher = ScriptedTeacher()
    again, ledger, _ = gateway(teacher, cache=ReplyCache(tmp_path / "replies.sqlite"))
    replayed = again.answer(QUESTIONS)
    assert [(r.text, r.outcome, r.model_version) for r in replayed] == [
        (r.text, r.outcome, r.model_version) for r in expected
    ]
    assert all(r.cached and r.cost_usd == 0 and r.input_tokens == 0 for r in replayed)
    assert teacher.sent == [] and ledger.entries() == [] and again.budget.spent == Spending()


def test_another_model_or_decoding_is_asked_anew():
    cache = ReplyCache(":memory:")
    gateway(ScriptedTeacher(), cache=cache)[0].answer(QUESTIONS)
    warmer, newer = ScriptedTeacher(), ScriptedTeacher()
    warmer.decoding, newer.model = {"temperature": 0.9}, "newer"
    for teacher in (warmer, newer):
        gateway(teacher, cache=cache)[0].answer(QUESTIONS)
        assert len(teacher.sent) == len(QUESTIONS)


def test_failures_are_not_cached():
    cache = ReplyCache(":memory:")
    teacher = ScriptedTeacher(lambda prompt, attempt: failed("blocked") if attempt == 1 else None)
    cloud, _, _ = gateway(teacher, cache=cache)
    assert cloud.answer([request("在吗")])[0].outcome == "blocked"
    assert cloud.answer([request("在吗")])[0].outcome == "ok"


def test_a_cache_that_breaks_under_way_stops_the_run_with_everything_sent_in_the_ledger(monkeypatch):
    cache, teacher = ReplyCache(":memory:"), ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher, cache=cache)

    def full(rows):
        raise TeacherError("the disk is full: free space")

    monkeypatch.setattr(cache, "put", full)
    with pytest.raises(TeacherError, match="free space"):
        cloud.answer(QUESTIONS)
    assert len(teacher.sent) == len(QUESTIONS)
    assert up_bytes(ledger) == sum(len(text.encode()) for text in teacher.sent)


# Budget


def test_the_request_budget_stops_exactly_and_cleanly():
    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher, budget=Budget(max_requests=7))
    replies = cloud.answer(QUESTIONS)
    assert [reply.outcome for reply in replies] == ["ok"] * 7 + ["budget"] * 3
    assert "max_requests is 7" in replies[7].detail and replies[7].text is None
    assert len(teacher.sent) == 7
    assert up_bytes(ledger) == sum(len(text.encode()) for text in teacher.sent)
    assert [reply.outcome for reply in cloud.answer([request("再问")])] == ["budget"]


@pytest.mark.parametrize("name", ["max_tokens", "max_cost_usd"])
def test_tokens_and_cost_are_never_passed_and_hold_back_no_more_than_one_call(name):
    tokens = build_prompt(EXAMPLES, QUESTIONS[0].turns).tokens
    teacher = ScriptedTeacher(lambda prompt, attempt: ok("好", prompt.tokens, 1))
    one = tokens + 1 if name == "max_tokens" else (tokens * 1_000 + 1 * 2_000) / 1e6
    most = tokens + 5 if name == "max_tokens" else (tokens * 1_000 + 5 * 2_000) / 1e6
    limit = 5.999 * one
    cloud, _, _ = gateway(teacher, budget=Budget(**{name: limit}))
    cloud.answer(QUESTIONS)
    spent = cloud.budget.spent.tokens if name == "max_tokens" else cloud.budget.spent.cost_usd
    assert limit - MARGIN * most < spent <= limit


def test_retries_count_against_the_budget():
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: failed("unavailable")), budget=Budget(max_requests=3))
    (reply,) = cloud.answer([request("在吗")])
    assert reply.outcome == "budget"
    assert "attempt 3: unavailable scripted" in reply.detail


def test_what_failed_attempts_used_is_paid_and_what_they_held_back_is_free_again():
    def script(prompt, attempt):
        if attempt < 3:
            return replace(failed("unavailable"), input_tokens=7, output_tokens=attempt)
        return ok("好", 7, 4)

    held = MARGIN * (build_prompt(EXAMPLES, QUESTIONS[0].turns).tokens + ScriptedTeacher.max_output_tokens)
    # Room for what was used and for one attempt at a time: less, and the third would not be made.
    for room, outcome in ((7 + 1 + 7 + 2 + held, "ok"), (7 + 1 + 7 + 2 + held - 1, "budget")):
        cloud, _, _ = gateway(ScriptedTeacher(script), budget=Budget(max_tokens=room))
        (reply,) = cloud.answer([QUESTIONS[0]])
        assert reply.outcome == outcome
        attempts, tokens = (3, (21, 7)) if outcome == "ok" else (2, (14, 3))
        cost = (tokens[0] * 1_000 + tokens[1] * 2_000) / 1e6
        assert cloud.budget.spent == Spending(attempts, sum(tokens), pytest.approx(cost))
        assert (reply.input_tokens, reply.output_tokens, reply.cost_usd) == (*tokens, pytest.approx(cost))


def test_a_price_that_the_provider_states_is_the_one_that_is_paid():
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: replace(ok("好", 10, 5), cost_usd=0.125)))
    (reply,) = cloud.answer([request("在吗")])
    assert reply.cost_usd == cloud.budget.spent.cost_usd == 0.125


def test_calls_under_way_together_hold_back_their_tokens_together():
    """Each of a batch's prompts may bring a reply of full length: the bound counts every one."""
    tokens = build_prompt(EXAMPLES, QUESTIONS[0].turns).tokens
    limit = 3 * MARGIN * (tokens + ScriptedTeacher.max_output_tokens)
    teacher = ScriptedTeacher(lambda prompt, attempt: ok("好", MARGIN * prompt.tokens, MARGIN * 5), max_batch=100)
    cloud, _, _ = gateway(teacher, budget=Budget(max_tokens=limit))
    assert [reply.outcome for reply in cloud.answer(QUESTIONS)] == ["ok"] * 3 + ["budget"] * 7
    assert teacher.batches == [3]
    assert cloud.budget.spent.tokens == limit


def test_a_call_under_way_is_brought_to_its_end_before_another_begins():
    held = MARGIN * (build_prompt(EXAMPLES, QUESTIONS[0].turns).tokens + ScriptedTeacher.max_output_tokens)
    script = lambda prompt, attempt: failed("unavailable") if attempt == 1 else ok("好", 0, 1)  # noqa: E731
    teacher = ScriptedTeacher(script)
    cloud, _, _ = gateway(teacher, budget=Budget(max_tokens=held + 1))
    assert [reply.outcome for reply in cloud.answer(QUESTIONS[:2])] == ["ok", "ok"]
    assert [text.splitlines()[-2] for text in teacher.sent] == [f"顾客：问题{i}" for i in (0, 0, 1, 1)]


def test_cached_replies_need_no_budget():
    cache = ReplyCache(":memory:")
    gateway(ScriptedTeacher(), cache=cache)[0].answer(QUESTIONS)
    cloud, _, _ = gateway(ScriptedTeacher(), cache=cache, budget=Budget(max_requests=0))
    assert {reply.outcome for reply in cloud.answer(QUESTIONS)} == {"ok"}


def test_who_gets_the_last_of_the_budget_does_not_depend_on_threads():
    def run():
        def script(prompt, attempt):
            time.sleep(random.random() * 2e-3)
            return failed("unavailable") if attempt == 1 else None

        cloud, _, _ = gateway(ScriptedTeacher(script), budget=Budget(max_requests=14))
        return [(reply.text, reply.outcome) for reply in cloud.answer(QUESTIONS)]

    first = run()
    assert [outcome for _, outcome in first] == ["ok"] * 4 + ["budget"] * 6
    assert run() == first


# Retries and time-outs


@pytest.mark.parametrize("outcome", ["rate_limited", "unavailable", "timeout"])
def test_what_may_pass_is_tried_again(outcome):
    teacher = ScriptedTeacher(lambda prompt, attempt: failed(outcome) if attempt < 3 else None)
    cloud, ledger, waits = gateway(teacher, retry=RetryPolicy(first_delay_seconds=1, jitter=0))
    (reply,) = cloud.answer([request("在吗")])
    assert reply.text == "回复：在吗"
    assert waits.seconds == [1, 2]
    assert reply.latency_seconds == 0.25 + 1 + 0.25 + 2 + 0.5
    assert up_bytes(ledger) == 3 * len(teacher.sent[0].encode())
    assert [e.details["attempt"] for e in ledger.entries() if e.kind == "query"] == [1, 2, 3]
    assert [e.details["outcome"] for e in ledger.entries() if e.kind == "query"] == [outcome, outcome, "ok"]
    assert cloud.budget.spent.requests == 3


def test_the_servers_delay_is_honoured():
    teacher = ScriptedTeacher(lambda prompt, attempt: failed("rate_limited", 7.5) if attempt == 1 else None)
    cloud, _, waits = gateway(teacher, retry=RetryPolicy(jitter=0))
    assert cloud.answer([request("在吗")])[0].outcome == "ok"
    assert waits.seconds == [7.5]


def test_attempts_end_and_the_reply_says_so():
    teacher = ScriptedTeacher(lambda *_: failed("rate_limited", 2.0))
    cloud, _, waits = gateway(teacher, retry=RetryPolicy(max_attempts=3))
    (reply,) = cloud.answer([request("在吗")])
    assert (reply.outcome, reply.text, len(teacher.sent), len(waits.seconds)) == ("rate_limited", None, 3, 2)
    assert reply.detail == "scripted; 3 attempts; the server asks to wait 2 s"


@pytest.mark.parametrize("outcome", ["blocked", "malformed", "error"])
def test_what_would_fail_again_is_sent_once(outcome):
    teacher = ScriptedTeacher(lambda *_: failed(outcome))
    cloud, _, _ = gateway(teacher)
    assert cloud.answer([request("在吗")])[0].outcome == outcome
    assert len(teacher.sent) == 1


def test_one_failure_leaves_the_others_alone():
    teacher = ScriptedTeacher(lambda prompt, _: failed("blocked") if prompt.turns[-1].text == "问题4" else None)
    outcomes = [reply.outcome for reply in gateway(teacher)[0].answer(QUESTIONS)]
    assert outcomes == ["ok"] * 4 + ["blocked"] + ["ok"] * 5


def test_a_teacher_that_hangs_is_given_up():
    release = threading.Event()

    def script(prompt, attempt):
        if prompt.turns[-1].text == "卡住":
            release.wait(30)

    cloud, ledger, waits = gateway(ScriptedTeacher(script), timeout_seconds=0.05, retry=RetryPolicy(max_attempts=2))
    try:
        hung, fine = cloud.answer([request("卡住"), request("在吗")])
    finally:
        release.set()
    assert (hung.outcome, hung.text) == ("timeout", None)
    assert "no answer within 0.05 s" in hung.detail and "2 attempts" in hung.detail
    assert fine.outcome == "ok"
    assert len(waits.seconds) == 1
    assert sum(entry.kind == "query" for entry in ledger.entries()) == 3


def test_a_batch_of_prompts_gets_the_time_of_as_many_calls():
    release = threading.Event()
    teacher = ScriptedTeacher(lambda *_: release.wait(30), max_batch=3)
    cloud, _, _ = gateway(teacher, timeout_seconds=0.02, retry=RetryPolicy(max_attempts=1))
    try:
        details = [reply.detail for reply in cloud.answer(QUESTIONS[:4])]
    finally:
        release.set()
    assert details == ["no answer within 0.06 s"] * 3 + ["no answer within 0.02 s"]


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_reply_is_no_reply(text):
    cloud, _, _ = gateway(ScriptedTeacher(lambda *_: replace(ok("x"), text=text)), cache=ReplyCache(":memory:"))
    (reply,) = cloud.answer([request("在吗")])
    assert (reply.outcome, reply.text, reply.detail) == ("malformed", None, "the reply is empty")


def test_a_failure_cannot_smuggle_a_text():
    cloud, ledger, _ = gateway(ScriptedTeacher(lambda *_: replace(failed("blocked"), text="secret")))
    assert cloud.answer([request("在吗")])[0].text is None
    assert {entry.direction for entry in ledger.entries()} == {"up"}


@pytest.mark.parametrize(
    ("returned", "detail"),
    [
        (RuntimeError("no\nkey"), "RuntimeError: no key"),
        ([], "0 completions for 1 prompts"),
        (["a string"], "AttributeError"),
        (None, "TypeError"),
    ],
)
def test_a_broken_teacher_is_an_outcome_not_an_exception(returned, detail):
    class Broken(ScriptedTeacher):
        def complete(self, prompts, timeout_seconds):
            if isinstance(returned, Exception):
                raise returned
            return returned

    cloud, ledger, _ = gateway(Broken())
    (reply,) = cloud.answer([request("在吗")])
    assert reply.outcome == "error" and detail in reply.detail
    assert up_bytes(ledger) > 0  # it may have been sent


def test_latency_is_measured_where_the_teacher_declares_none():
    ticks = iter([10.0, 12.5])
    teacher = ScriptedTeacher(lambda *_: ok("好", latency_seconds=None))
    cloud, _, _ = gateway(teacher, clock=lambda: next(ticks))
    assert cloud.answer([request("在吗")])[0].latency_seconds == 2.5


# Redaction

CUSTOMER = OrderRecord(phone="13800001111")
OTHER_CUSTOMER = OrderRecord(phone="13900002222")


def test_the_hook_sees_turns_and_examples_and_the_reply_is_restored():
    redactor, teacher = StarRedactor(), ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher, redactor=redactor)
    asked = request(
        "我电话13800001111",
        examples=(("我是13900002222", "好的13900002222"), *EXAMPLES),
        customer=CUSTOMER,
        example_customers=(OTHER_CUSTOMER, None, None),
    )
    (reply,) = cloud.answer([asked])
    assert reply.text == "回复：我电话13800001111"
    (sent,) = teacher.sent
    assert CUSTOMER.phone not in sent and OTHER_CUSTOMER.phone not in sent
    assert "我是[1]" in sent and "我电话[1]" in sent
    assert redactor.seen == [
        (Turn("customer", "我是13900002222"), Turn("agent", "好的13900002222")),
        *[(Turn("customer", question), Turn("agent", answer)) for question, answer in EXAMPLES],
        asked.turns,
    ]
    assert {entry.redaction for entry in ledger.entries()} == {"stars"}
    assert up_bytes(ledger) == len(sent.encode())


def test_the_cache_stays_redacted_and_each_asker_gets_their_own_values(tmp_path):
    path, teacher = tmp_path / "replies.sqlite", ScriptedTeacher()
    cache = ReplyCache(path)
    cloud, _, _ = gateway(teacher, redactor=StarRedactor(), cache=cache)
    asked = [request(f"我电话{customer.phone}", customer=customer) for customer in (CUSTOMER, OTHER_CUSTOMER)]
    assert [r.text for r in cloud.answer(asked)] == ["回复：我电话13800001111", "回复：我电话13900002222"]
    assert [r.text for r in cloud.answer(asked)] == ["回复：我电话13800001111", "回复：我电话13900002222"]
    assert len(teacher.sent) == 1
    cache.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"13800001111" not in stored and b"13900002222" not in stored and "我电话[1]".encode() in stored


def test_examples_are_redacted_once_a_shop():
    redactor = StarRedactor()
    cloud, _, _ = gateway(ScriptedTeacher(), redactor=redactor)
    cloud.answer(QUESTIONS)
    cloud.answer([request("再问")])
    assert len(redactor.seen) == len(EXAMPLES) + len(QUESTIONS) + 1


def test_where_redaction_fails_nothing_leaves():
    class Failing(StarRedactor):
        def redact(self, turns, known):
            if any("坏" in turn.text for turn in turns):
                raise RuntimeError("no map")
            return super().redact(turns, known)

    teacher = ScriptedTeacher()
    cloud, _, _ = gateway(teacher, redactor=Failing())
    bad, good, bad_example = cloud.answer([request("坏"), request("在吗"), request("在吗", examples=(("坏", "答"),))])
    assert (bad.outcome, bad.text) == ("error", None) and "nothing was sent: RuntimeError: no map" in bad.detail
    assert bad_example.outcome == "error"
    assert good.outcome == "ok"
    assert len(teacher.sent) == 1 and "坏" not in teacher.sent[0]


def test_a_reply_that_cannot_be_restored_is_not_shown():
    class Failing(StarRedactor):
        def redact(self, turns, known):
            session = super().redact(turns, known)
            session.restore = lambda text: 1 / 0
            return session

    cloud, ledger, _ = gateway(ScriptedTeacher(), redactor=Failing())
    (reply,) = cloud.answer([request("在吗")])
    assert (reply.outcome, reply.text) == ("error", None) and "could not be restored" in reply.detail
    assert reply.cost_usd > 0 and ledger.entries()


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"turns": ()}, "at least one turn with text"),
        ({"example_customers": (None,)}, "1 customers for 2 examples"),
    ],
)
def test_a_request_that_cannot_be_asked_is_told_and_not_sent(changes, detail):
    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher)
    (reply,) = cloud.answer([replace(request("在吗"), **changes)])
    assert reply.outcome == "error" and detail in reply.detail
    assert teacher.sent == [] and ledger.entries() == []


def test_lone_surrogates_and_emoji_pass(tmp_path):
    teacher = ScriptedTeacher(lambda *_: ok("好\ud83d的👍🏽\ufffd"))
    cloud, ledger, _ = gateway(teacher, cache=ReplyCache(tmp_path / "replies.sqlite"))
    asked = [request("坏\ud83d字👩‍👩‍👧")]
    assert cloud.answer(asked)[0].text == "好?的👍🏽"
    assert cloud.answer(asked)[0].cached
    assert up_bytes(ledger) == len(teacher.sent[0].encode())


# Settings


@pytest.mark.parametrize(
    ("name", "value"), [("timeout_seconds", 0), ("max_parallel", 0), ("max_parallel", 1_000), ("max_parallel", "3")]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"gateway\.{name}={value} is out of range: a number from"):
        gateway(ScriptedTeacher(), **{name: value})


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError, match=r"gateway\.language=fr is out of range: one of zh, en"):
        gateway(ScriptedTeacher(), language="fr")


def test_the_prompt_is_in_the_shops_language():
    teacher = ScriptedTeacher()
    gateway(teacher, language="en")[0].answer([request("hello")])
    assert teacher.sent[0].startswith("Assuming that you are") and teacher.sent[0].endswith("Customer Service:")
