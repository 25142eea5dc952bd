"""Both evaluations get their requests, or the run is refused before it starts."""

from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.evaluation_budget import check_evaluation_budget, kept_for_final, requests_of
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import BudgetExceeded, ConfigError
from ecc_fed.teacher.gateway.booking import held_back
from ecc_fed.teacher.gateway.budget import Budget, Spending
from tests.evolution.fakes import shop
from tests.teacher.fakes import EXAMPLES, ScriptedTeacher, build_prompt, gateway, ok, request

SHOPS = [shop("a", num_test=3), shop("b", num_test=5), shop("c", num_test=0)]


def config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run(list(overrides)))


def test_equal_prompts_and_shops_without_tests_need_no_request() -> None:
    twice = shop("d", num_test=2)
    twice = type(twice)("d", twice.history, twice.stream, (*twice.test, *twice.test))
    assert requests_of([*SHOPS, twice], ()) == 3 + 5 + 0 + 2
    assert requests_of(SHOPS, ("x", "y", "x")) == 3 + 2 + 5 + 2


@pytest.mark.parametrize(("given", "least"), [((), 16), (("gateway.cache_path=nowhere/cache",), 8)])
def test_too_small_a_budget_names_what_is_needed(given: tuple[str, ...], least: int) -> None:
    check_evaluation_budget(config(*given, f"gateway.max_requests={least}"), SHOPS)
    check_evaluation_budget(config(*given), SHOPS)
    with pytest.raises(ConfigError, match=rf"gateway\.max_requests={least - 1} is too small: .* need {least} requests"):
        check_evaluation_budget(config(*given, f"gateway.max_requests={least - 1}"), SHOPS)


def test_a_cache_that_is_there_may_answer_all(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    check_evaluation_budget(config("gateway.max_requests=0", f"gateway.cache_path={tmp_path / 'cache'}"), SHOPS)
    assert kept_for_final(config(f"gateway.cache_path={tmp_path / 'cache'}"), SHOPS) == 0
    assert kept_for_final(config(), SHOPS) == 8


@pytest.mark.parametrize("limit", ["max_tokens", "max_cost_usd"])
def test_the_evaluations_share_tokens_and_money(limit: str, tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda prompt, attempt: ok("好", prompt.tokens, 5))
    one = held_back(teacher, build_prompt(EXAMPLES, request("问题0").turns))
    worth = 6 * {"max_tokens": one.tokens, "max_cost_usd": one.cost_usd}[limit]  # twelve calls
    cloud, _, _ = gateway(teacher, budget=Budget(**{limit: worth}), max_parallel=1)  # type: ignore[arg-type]
    cloud.budget.keep_for_final(9)
    answered = {}
    for phase in ("base", "train/1", "final"):
        cloud.journal.begin("shop", tmp_path / f"{phase[:4]}.jsonl", phase)
        outcomes = [cloud.answer([request(f"问题{number}")])[0].outcome for number in range(9)]
        answered[phase] = outcomes.count("ok")
    # The next call holds back two calls' worth, and a base's as much for its like in the final evaluation.
    assert answered == {"base": 5, "train/1": 1, "final": 5}


def test_what_the_base_used_is_kept_for_the_final_evaluation_in_a_run_that_goes_on() -> None:
    budget = Budget(max_tokens=100)
    budget.keep_for_final(1)
    budget.restore(Spending(2, 60, 0.0), Spending(1, 30, 0.0))
    with pytest.raises(BudgetExceeded):
        budget.reserve(Spending(1, 11, 0.0), "train/2")
    budget.reserve(Spending(1, 10, 0.0), "train/2")
    budget.reserve(Spending(1, 30, 0.0), "final")


def test_base_and_rounds_leave_what_is_kept_for_the_final_evaluation(tmp_path: Path) -> None:
    teacher, questions = ScriptedTeacher(), [request(f"问题{number}") for number in range(9)]
    cloud, _, _ = gateway(teacher, budget=Budget(max_requests=7))
    cloud.budget.keep_for_final(3)
    for tag, answered in (("base", 4), ("train/1", 0), ("final", 3)):
        cloud.journal.begin("shop", tmp_path / "open.jsonl", tag)
        replies = cloud.answer(questions)
        assert [reply.outcome for reply in replies] == ["ok"] * answered + ["budget"] * (9 - answered)
    with pytest.raises(BudgetExceeded):
        cloud.budget.reserve(Spending(1), "final")
