"""Every cloud teacher, by its real SDK, against the loopback server: all behind the gateway."""

import logging
from typing import Any

import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.teacher.gateway.budget import Budget
from ecc_fed.teacher.gateway.cache import ReplyCache
from ecc_fed.teacher.gateway.probe import ProbeReport, probe
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.settings import GatewaySettings

from ..fakes import EXAMPLES, build_prompt, gateway, request
from .conftest import KEY, gemini
from .loopback import MODEL_VERSION, USAGE, Loopback

QUESTIONS = [request(f"问题{number}") for number in range(8)]
ONCE = RetryPolicy(max_attempts=1)
# 20 fresh and 100 cached prompt tokens, 7 reply tokens, at 2.0, 0.5 and 10.0 a million.
COST = (20 * 2.0 + 100 * 0.5 + 7 * 10.0) / 1e6


def test_a_reply_with_its_model_version_usage_and_cost(open_teacher: Any) -> None:
    cloud, _, _ = gateway(open_teacher())
    reply = cloud.answer([request("发什么快递")])[0]
    assert (reply.text, reply.outcome, reply.model_version) == ("回复：发什么快递", "ok", MODEL_VERSION)
    assert (reply.input_tokens, reply.output_tokens) == (USAGE["input"], USAGE["output"])
    assert reply.cost_usd == pytest.approx(COST)
    assert cloud.budget.spent.cost_usd == pytest.approx(COST)


def test_the_examples_go_first_and_stay_as_they_are(open_teacher: Any, server: Loopback) -> None:
    cloud, ledger, _ = gateway(open_teacher(), max_parallel=1)
    cloud.answer(QUESTIONS)
    prompts = [build_prompt(EXAMPLES, question.turns) for question in QUESTIONS]
    assert {sent.system for sent in server.requests} == {prompts[0].few_shot.text}
    assert [sent.said for sent in server.requests] == [prompt.dialogue for prompt in prompts]
    up = sum(entry.num_bytes for entry in ledger.entries() if entry.direction == "up")
    assert up == sum(len((sent.system + sent.said).encode()) for sent in server.requests)
    down = sum(entry.num_bytes for entry in ledger.entries() if entry.direction == "down")
    assert down == sum(len(f"回复：问题{number}".encode()) for number in range(8))


def test_parallel_replies_keep_their_order(open_teacher: Any, server: Loopback) -> None:
    server.delays = {f"问题{number}": 0.01 * (8 - number) for number in range(8)}
    cloud, ledger, _ = gateway(open_teacher(), max_parallel=8)
    assert [reply.text for reply in cloud.answer(QUESTIONS)] == [f"回复：问题{number}" for number in range(8)]
    assert len(server.requests) == 8
    server.delays = {}
    queries = [entry.details["call"] for entry in ledger.entries() if entry.kind == "query"]
    alone, alone_ledger, _ = gateway(open_teacher(), max_parallel=1)
    alone.answer(QUESTIONS)
    assert queries == [entry.details["call"] for entry in alone_ledger.entries() if entry.kind == "query"]


@pytest.mark.parametrize(
    ("behaviour", "outcome", "detail"),
    [
        ("rate_limited", "rate_limited", "HTTP 429: quota exceeded; the server asks to wait 2 s"),
        ("unavailable", "unavailable", "HTTP 503: overloaded"),
        ("missing_model", "error", "HTTP 404: model is not found (check teacher.model"),
        ("bad_key", "error", "check "),
        ("bad_request", "error", "HTTP 400: temperature is not supported"),
        ("blocked_prompt", "blocked", "held back by the"),
        ("blocked_reply", "blocked", "held back by the provider: "),
        ("broken_json", "malformed", "no valid JSON"),
        ("empty", "malformed", "the answer"),
        ("cut", "malformed", "teacher.max_output_tokens"),
        ("hang_up", "unavailable", "no connection, or it broke"),
        ("slow", "timeout", "no answer"),
    ],
)
def test_every_failure_has_its_outcome(
    open_teacher: Any, server: Loopback, behaviour: str, outcome: str, detail: str
) -> None:
    server.plan.append(behaviour)
    cloud, ledger, _ = gateway(open_teacher(), retry=ONCE, timeout_seconds=0.3 if behaviour == "slow" else 10)
    failed, fine = cloud.answer([request("在吗")])[0], cloud.answer([request("发什么快递")])[0]
    assert (failed.text, failed.outcome) == (None, outcome)
    assert detail in failed.detail
    assert KEY not in failed.detail
    assert fine.outcome == "ok"
    assert [e.details["outcome"] for e in ledger.entries() if e.kind == "query"] == [outcome, "ok"]


def test_the_sdk_itself_gives_up_in_time(open_teacher: Any, server: Loopback) -> None:
    server.plan.append("slow")
    prompt = build_prompt(EXAMPLES, request("在吗").turns)
    assert open_teacher().complete([prompt], timeout_seconds=0.2)[0].outcome == "timeout"


@pytest.mark.parametrize("behaviour", ["blocked_reply", "cut"])
def test_a_reply_that_is_no_use_is_paid_for_all_the_same(open_teacher: Any, server: Loopback, behaviour: str) -> None:
    server.plan.append(behaviour)
    reply = gateway(open_teacher(), retry=ONCE)[0].answer([request("在吗")])[0]
    assert reply.cost_usd == pytest.approx(COST)


def test_the_servers_wish_is_waited_for(open_teacher: Any, server: Loopback) -> None:
    server.plan.extend(["rate_limited", "unavailable", "ok"])
    cloud, ledger, waits = gateway(open_teacher(), retry=RetryPolicy(jitter=0.0))
    assert cloud.answer([request("在吗")])[0].text == "回复：在吗"
    assert waits.seconds == [2.0, 2.0]  # asked for after 429; the second back-off after 503
    assert [e.details["attempt"] for e in ledger.entries() if e.kind == "query"] == [1, 2, 3]
    assert len(server.requests) == 3, "the SDK must not try again behind the ledger's back"


def test_a_refused_connection_is_unavailable(open_teacher: Any, server: Loopback) -> None:
    teacher = open_teacher()
    server.close()
    reply = gateway(teacher, retry=ONCE)[0].answer([request("在吗")])[0]
    assert reply.outcome == "unavailable"
    assert "no connection" in reply.detail


def test_the_budget_stops_cleanly(open_teacher: Any, server: Loopback) -> None:
    cloud, _, _ = gateway(open_teacher(), budget=Budget(max_requests=3))
    replies = cloud.answer(QUESTIONS)
    assert [reply.outcome for reply in replies] == ["ok"] * 3 + ["budget"] * 5
    assert len(server.requests) == 3
    money, _, _ = gateway(open_teacher(), budget=Budget(max_cost_usd=3 * COST), max_parallel=1)
    assert "max_cost_usd" in money.answer(QUESTIONS)[-1].detail
    assert money.budget.spent.cost_usd <= 3 * COST


def test_a_cache_replays_without_server_key_or_network(
    open_teacher: Any, server: Loopback, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gateway(open_teacher(), cache=ReplyCache(tmp_path / "replies"))[0].answer(QUESTIONS)
    server.close()
    monkeypatch.delenv("TEST_API_KEY")
    replay, ledger, _ = gateway(open_teacher(replay=True), cache=ReplyCache(tmp_path / "replies"))
    again = replay.answer(QUESTIONS)
    assert [(r.text, r.model_version) for r in again] == [(r.text, r.model_version) for r in first]
    assert all(reply.cached and reply.cost_usd == 0 for reply in again)
    assert ledger.entries() == []
    unknown = replay.answer([request("没问过")])[0]
    assert unknown.outcome == "error"
    assert "teacher.replay=true" in unknown.detail


def test_both_gemini_sdks_share_cached_replies(server: Loopback, tmp_path: Any) -> None:
    cache = ReplyCache(tmp_path / "replies")
    gateway(gemini(server), cache=cache)[0].answer(QUESTIONS)
    replies = gateway(gemini(server, "google-generativeai"), cache=cache)[0].answer(QUESTIONS)
    assert all(reply.cached for reply in replies)
    assert len(server.requests) == 8


def test_the_key_is_in_no_log_and_no_repr(
    open_teacher: Any, server: Loopback, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.plan.extend(["ok", "bad_key", "rate_limited", "broken_json"])
    teacher = open_teacher()
    cloud, ledger, _ = gateway(teacher, retry=ONCE, max_parallel=1)
    replies = cloud.answer(QUESTIONS)
    assert KEY in str([sent.headers for sent in server.requests]), "the server got the key"
    shown = {name: value for name, value in vars(teacher).items() if name != "_key"}
    said = [caplog.text, repr(teacher), repr(shown), repr(replies), repr(ledger.entries()), *capfd.readouterr()]
    assert not any(KEY in text for text in said)


def test_a_probe_asks_for_one_token(open_teacher: Any, server: Loopback) -> None:
    kept: list[ProbeReport] = []
    probe(open_teacher(), GatewaySettings(), kept.append)
    report = kept[-1]
    (asked,) = server.requests
    limits = asked.body.get("generationConfig", {}).get("maxOutputTokens"), asked.body.get("max_tokens")
    assert set(limits) == {1, None}
    assert report.spent.requests == 1
    assert sum(int(entry.details.get("wire_bytes", 0)) for entry in report.entries) == sum(
        book.up_bytes + book.down_bytes for book in server.books
    )
    assert open_teacher(replay=True).probe(5.0) is None


@pytest.mark.parametrize("behaviour", ["missing_model", "bad_key"])
def test_a_probe_finds_what_is_wrong(open_teacher: Any, server: Loopback, behaviour: str) -> None:
    server.plan.append(behaviour)
    with pytest.raises(UserError, match=r"gives no answer: error, HTTP 40\d: .*check") as raised:
        probe(open_teacher(), GatewaySettings(), [].append)
    assert KEY not in str(raised.value)
