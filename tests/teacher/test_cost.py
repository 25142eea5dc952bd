from dataclasses import replace

import pytest

from ecc_fed.teacher.cost import cost_of_attempt, cost_usd

from .fakes import ScriptedTeacher, ok


def test_a_call_is_priced_by_the_million_tokens_each_way() -> None:
    teacher = ScriptedTeacher()  # 1,000 dollars per million tokens in, 2,000 out
    assert cost_usd(teacher, 1_000_000, 0) == 1_000
    assert cost_usd(teacher, 0, 1_000_000) == 2_000
    assert cost_usd(teacher, 30, 7) == pytest.approx(30e-3 + 14e-3)


@pytest.mark.parametrize("stated", [0.0, 0.125])
def test_a_price_that_the_completion_states_goes_before_the_rates(stated: float) -> None:
    completion = ok("好", 30, 7)
    assert cost_of_attempt(ScriptedTeacher(), completion) == pytest.approx(0.044)
    assert cost_of_attempt(ScriptedTeacher(), replace(completion, cost_usd=stated)) == stated
