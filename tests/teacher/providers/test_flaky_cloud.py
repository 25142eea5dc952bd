"""A cloud that fails in many ways: labels are neither lost nor doubled nor mixed, and its books are ours."""

import random
from typing import Any

import pytest

from ecc_fed.core.records import EgressEntry
from ecc_fed.teacher.gateway.booking import expected
from ecc_fed.teacher.gateway.budget import Budget
from ecc_fed.teacher.gateway.cache import ReplyCache
from ecc_fed.teacher.gateway.retry import RetryPolicy

from ..fakes import EXAMPLES, build_prompt, gateway, request
from .loopback import MODEL_VERSION, STATED, UNSTATED, USAGE, Loopback

QUESTIONS = [request(f"问题{number:02}") for number in range(40)]
PROMPT = build_prompt(EXAMPLES, QUESTIONS[0].turns)
ODD = ("slow", "reset_early", "reset_late", "unavailable", "rate_limited", "broken_json", "empty_text", "truncated")
# 20 fresh and 100 cached prompt tokens, 7 reply tokens, at 2.0, 0.5 and 10.0 a million.
COST = (20 * 2.0 + 100 * 0.5 + 7 * 10.0) / 1e6
TIMEOUT_SECONDS = 1.0


def by_attempt(entries: list[EgressEntry]) -> list[EgressEntry]:
    return [entry for entry in entries if entry.kind == "query"]


def check_books(server: Loopback, teacher: Any, cloud: Any, entries: list[EgressEntry]) -> None:
    """Requests, bytes and money, ours against the server's."""
    books = server.books
    queries, replies = by_attempt(entries), [entry for entry in entries if entry.kind == "reply"]
    assert len(queries) == len(books) == cloud.budget.spent.requests
    assert sum(int(entry.details["wire_bytes"]) for entry in queries) == sum(book.up_bytes for book in books)
    assert sum(int(entry.details["wire_bytes"]) for entry in replies) == sum(book.down_bytes for book in books)
    stated = sum(book.behaviour in STATED for book in books)
    unstated = sum(book.behaviour in UNSTATED for book in books)
    assert sum("usage" in entry.details for entry in queries) == unstated
    most = expected(teacher, PROMPT)
    assert cloud.budget.spent.cost_usd == pytest.approx(stated * COST + unstated * most.cost_usd, abs=1e-12)
    assert cloud.budget.spent.tokens == stated * (USAGE["input"] + USAGE["output"]) + unstated * most.tokens


@pytest.mark.parametrize("seed", [0, 1])
def test_thirty_percent_fail_in_eight_ways(open_teacher: Any, server: Loopback, seed: int) -> None:
    # 16 of 52 requests: the 40 and, of each way that may pass, two that are tried again.
    server.plan.extend(random.Random(seed).sample(plan := [*ODD, *ODD, *["ok"] * 36], len(plan)))
    server.slow_seconds = 2 * TIMEOUT_SECONDS
    teacher, cache = open_teacher(), ReplyCache(":memory:")
    retry = RetryPolicy(max_attempts=6)
    cloud, ledger, _ = gateway(teacher, retry=retry, cache=cache, timeout_seconds=TIMEOUT_SECONDS, max_parallel=4)
    replies = cloud.answer(QUESTIONS)
    for question, reply in zip(QUESTIONS, replies, strict=True):
        assert reply.text in (None, f"回复：{question.turns[0].text}")
        assert (reply.text is not None) == (reply.outcome == "ok")
    assert {reply.outcome for reply in replies} <= {"ok", "malformed"}, "what may pass was tried again"
    assert sum(reply.text is not None for reply in replies) == sum(book.behaviour == "ok" for book in server.books)
    assert {book.behaviour for book in server.books} == {"ok", *ODD}
    check_books(server, teacher, cloud, ledger.entries())
    assert sum(reply.cost_usd for reply in replies) == pytest.approx(cloud.budget.spent.cost_usd, abs=1e-12)
    asked = len(server.books)
    again = cloud.answer([q for q, reply in zip(QUESTIONS, replies, strict=True) if reply.text is not None])
    assert all(reply.cached for reply in again) and len(server.books) == asked


def test_answers_that_are_not_what_was_asked_for(open_teacher: Any, server: Loopback) -> None:
    kinds = ["long", "other_model", "thoughts", "open_thoughts", "turns", "absurd", "negative", "ok"]
    server.plan.extend(kinds)
    teacher = open_teacher()
    cloud, ledger, _ = gateway(teacher, max_parallel=1, cache=(cache := ReplyCache(":memory:")))
    replies = dict(zip(kinds, cloud.answer(QUESTIONS[: len(kinds)]), strict=True))
    texts = {kind: f"回复：问题{number:02}" for number, kind in enumerate(kinds)}
    for kind in ("other_model", "thoughts", "turns", "absurd", "negative", "ok"):
        assert replies[kind].text == texts[kind], kind
    for kind in ("long", "open_thoughts"):
        assert (replies[kind].text, replies[kind].outcome) == (None, "malformed")
    assert "some 200000 tokens, where teacher.max_output_tokens=64 was asked for" in replies["long"].detail
    assert "left without thoughts" in replies["open_thoughts"].detail
    assert replies["other_model"].model_version == "other-9000"
    assert {replies[kind].model_version for kind in kinds} == {MODEL_VERSION, "other-9000"}
    cut = {entry.details["cut"] for entry in ledger.entries() if "cut" in entry.details}
    assert cut == {"thoughts", "turns"}
    refused = [entry.details["usage"] for entry in by_attempt(ledger.entries()) if "usage" in entry.details]
    assert [str(1_000_000_000) in str(refused[0]), "-5" in str(refused[1])] == [True, True]
    check_books(server, teacher, cloud, ledger.entries())
    assert len(cloud.answer(QUESTIONS[: len(kinds)])) == len(kinds) and cache is not None


@pytest.mark.parametrize("seed", range(4))
def test_no_cap_is_passed_whatever_happens(server: Loopback, open_teacher: Any, seed: int) -> None:
    """Not even by what the server used and never told."""
    odd = ("reset_early", "reset_late", "truncated", "broken_json", "absurd", "negative", "long", "rate_limited")
    server.plan.extend(random.Random(seed).choices([*odd, *["ok"] * 5], k=400))
    teacher = open_teacher()
    cap = random.Random(seed).uniform(4, 14) * expected(teacher, PROMPT).cost_usd
    cloud, ledger, _ = gateway(teacher, budget=Budget(max_cost_usd=cap), retry=RetryPolicy(max_attempts=6))
    replies = cloud.answer(QUESTIONS)
    assert "budget" in {reply.outcome for reply in replies}
    assert expected(teacher, PROMPT).cost_usd >= COST
    used = sum(book.behaviour in STATED | UNSTATED for book in server.books) * COST
    assert used <= cloud.budget.spent.cost_usd + 1e-12 <= cap + 2e-12
    check_books(server, teacher, cloud, ledger.entries())
