"""Both evaluations get their requests, or the run is refused before it starts."""

from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.evaluation_budget import check_evaluation_budget, kept_for_final, requests_of
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import BudgetExceeded, ConfigError
from ecc_fed.teacher.gateway.budget import Budget, Spending
from tests.evolution.fakes import shop
from tests.teacher.fakes import ScriptedTeacher, gateway, request

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


def test_base_and_rounds_leave_what_is_kept_for_the_final_evaluation(tmp_path: Path) -> None:
    teacher, questions = ScriptedTeacher(), [request(f"问题{number}") for number in range(9)]
    cloud, _, _ = gateway(teacher, budget=Budget(max_requests=7))
    cloud.budget.keep_for_final(3)
    for tag, answered in (("base", 4), ("train/1", 0), ("final", 3)):
        cloud.journal.begin("shop", tmp_path / "open.jsonl", tag)
        replies = cloud.answer(questions)
        assert [reply.outcome for reply in replies] == ["ok"] * answered + ["budget"] * (9 - answered)
    with pytest.raises(BudgetExceeded):
        cloud.budget.reserve(Spending(1), final=True)
