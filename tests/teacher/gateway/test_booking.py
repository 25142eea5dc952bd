"""What an attempt counts as: never more than was held back, and what may have been billed counts."""

import random
from dataclasses import replace

import pytest

from ecc_fed.core.completion import Completion
from ecc_fed.teacher.gateway.booking import MARGIN, booked, expected, held_back
from ecc_fed.teacher.gateway.budget import Budget, Spending
from ecc_fed.teacher.gateway.retry import RetryPolicy

from ..fakes import EXAMPLES, ScriptedTeacher, build_prompt, failed, gateway, ok, request

QUESTIONS = [request(f"问题{number}") for number in range(10)]
PROMPT = build_prompt(EXAMPLES, QUESTIONS[0].turns)
TEACHER = ScriptedTeacher()
MOST = expected(TEACHER, PROMPT)


def counted(completion: Completion) -> Spending:
    made = booked(TEACHER, PROMPT, completion)
    assert made.cost_usd is not None
    return Spending(1, made.input_tokens + made.output_tokens, made.cost_usd)


@pytest.mark.parametrize("outcome", ["timeout", "malformed"])
def test_what_may_have_been_billed_counts_in_full(outcome: str) -> None:
    made = booked(TEACHER, PROMPT, failed(outcome))
    assert counted(failed(outcome)) == MOST
    assert (made.usage_note, made.usage_known, made.outcome) == ("not stated", False, outcome)
    stated = replace(failed(outcome), input_tokens=3)
    assert counted(stated) == Spending(1, 3, 0.003)


def test_an_error_that_the_provider_told_costs_nothing() -> None:
    for outcome in ("rate_limited", "unavailable", "error", "blocked"):
        assert counted(failed(outcome)) == Spending(1)
    assert counted(replace(failed("unavailable"), usage_known=False)) == MOST


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": -1},
        {"output_tokens": -1},
        {"output_tokens": 2.5},
        {"input_tokens": True},
        {"input_tokens": MARGIN * PROMPT.tokens + 1},
        {"output_tokens": MARGIN * TEACHER.max_output_tokens + 1},
        {"cost_usd": -0.1},
        {"cost_usd": float("nan")},
        {"cost_usd": MARGIN * MOST.cost_usd * 1.01},
    ],
)
def test_a_usage_that_cannot_be_is_refused_and_told(wrong: dict[str, float]) -> None:
    made = booked(TEACHER, PROMPT, replace(ok("好"), **wrong))
    assert (made.text, made.outcome) == ("好", "ok")
    assert made.usage_note.startswith("refused: ")
    assert Spending(1, made.input_tokens + made.output_tokens, made.cost_usd or 0.0) == MOST


def test_the_ledger_says_which_counts_are_not_the_providers() -> None:
    teacher = ScriptedTeacher(lambda prompt, attempt: replace(ok("好"), input_tokens=-3) if attempt == 1 else None)
    cloud, ledger, _ = gateway(teacher)
    cloud.answer(QUESTIONS[:1])
    cloud.answer(QUESTIONS[:1])
    notes = [entry.details.get("usage") for entry in ledger.entries() if entry.kind == "query"]
    assert notes == ["refused: -3 tokens in and 5 out", None]


def test_a_teacher_in_this_process_is_believed() -> None:
    teacher = ScriptedTeacher()
    teacher.remote = False
    assert booked(teacher, PROMPT, failed("timeout")).cost_usd == 0.0
    assert booked(teacher, PROMPT, ok("好", 10**6)).input_tokens == 10**6


class Broken(ScriptedTeacher):
    def complete(self, prompts, timeout_seconds):  # type: ignore[no-untyped-def]
        raise RuntimeError("no idea what became of it")


def test_a_teacher_that_raises_may_have_been_billed() -> None:
    cloud, _, _ = gateway(Broken())
    (reply,) = cloud.answer(QUESTIONS[:1])
    assert reply.outcome == "error"
    assert (cloud.budget.spent.requests, cloud.budget.spent.tokens) == (1, MOST.tokens)
    assert reply.cost_usd == pytest.approx(MOST.cost_usd)


@pytest.mark.parametrize("name", ["max_requests", "max_tokens", "max_cost_usd"])
@pytest.mark.parametrize("seed", range(5))
def test_no_cap_is_passed_by_random_outcomes_in_parallel(name: str, seed: int) -> None:
    """Neither by what is counted nor, at any time, by what is counted and held back together."""
    rng = random.Random(seed)
    hold = held_back(TEACHER, PROMPT)
    unit = {"max_requests": 1, "max_tokens": hold.tokens, "max_cost_usd": hold.cost_usd}[name]
    cap = rng.uniform(3, 12) * unit
    used: list[Spending] = []

    def script(prompt, attempt):  # type: ignore[no-untyped-def]
        outcome = rng.choice(["ok", "timeout", "malformed", "unavailable", "rate_limited"])
        if outcome != "ok":
            return failed(outcome)
        tokens = rng.choice([0, 10, PROMPT.tokens, MARGIN * PROMPT.tokens, 10**7, -4])
        return ok("好", tokens, rng.choice([0, 5, MARGIN * 5, 10**7, -1]))

    cloud, _, _ = gateway(ScriptedTeacher(script), budget=Budget(**{name: cap}), retry=RetryPolicy(max_attempts=3))
    reserve = cloud.budget.reserve

    def watched(most: Spending, final: bool = False) -> None:
        reserve(most, final)
        used.append(cloud.budget.spent)

    cloud.budget.reserve = watched  # type: ignore[method-assign]
    for _ in range(3):
        cloud.answer(QUESTIONS)
    field = name.removeprefix("max_")
    assert used and all(getattr(spent, field) <= cap + 1e-9 for spent in [*used, cloud.budget.spent])
