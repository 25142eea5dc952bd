import threading

import pytest

from ecc_fed.core.errors import BudgetExceeded, ConfigError
from ecc_fed.teacher.gateway.budget import Budget, Spending


@pytest.mark.parametrize(
    ("limits", "granted"), [({"max_requests": 3}, 3), ({"max_tokens": 35}, 3), ({"max_cost_usd": 0.3}, 3), ({}, 9)]
)
def test_it_stops_exactly_at_its_limit(limits, granted):
    budget = Budget(**limits)
    reserved = 0
    for _ in range(9):
        try:
            budget.reserve(Spending(1, 10, 0.1))
            reserved += 1
        except BudgetExceeded:
            pass
    assert reserved == granted
    assert budget.spent.requests == granted


def test_the_refusal_names_limit_and_remedy():
    with pytest.raises(BudgetExceeded, match=r"max_cost_usd is 0\.05 .* may reach 0\.1; raise max_cost_usd"):
        Budget(max_cost_usd=0.05).reserve(Spending(1, 1, 0.1))


def test_what_was_held_back_and_not_used_can_be_used_again():
    budget = Budget(max_tokens=15)
    budget.reserve(Spending(1, 10, 1.0))
    budget.settle(Spending(1, 10, 1.0), Spending(1, 4, 0.25))
    assert budget.spent == Spending(1, 4, 0.25)
    budget.reserve(Spending(1, 11, 0.0))


def test_it_goes_on_from_an_earlier_part_of_the_run():
    budget = Budget(max_requests=3)
    budget.restore(Spending(2, 100, 0.5))
    budget.reserve(Spending(1, 1, 0.0))
    with pytest.raises(BudgetExceeded):
        budget.reserve(Spending(1, 1, 0.0))


def test_threads_together_never_pass_the_limit():
    budget, granted = Budget(max_requests=50), []

    def spend() -> None:
        for _ in range(50):
            try:
                budget.reserve(Spending(1, 1, 0.0))
                granted.append(1)
            except BudgetExceeded:
                pass

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 50


@pytest.mark.parametrize("name", ["max_requests", "max_tokens", "max_cost_usd"])
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_limits_below_zero_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"gateway\.{name}=.* is out of range: 0 or more, or null for no limit"):
        Budget(**{name: value})


@pytest.mark.parametrize(("shares", "granted"), [([1 / 49] * 49, [1] * 49), ([0.3, 0.7], [14, 34]), ([0.01], [0])])
def test_parts_of_a_budget_keep_the_limit_together(shares, granted):
    spent = []
    for share in shares:
        budget = Budget(max_requests=49, share=share)
        with pytest.raises(BudgetExceeded, match=r"max_requests is 49, of which this host's shops have [\d.]+, and"):
            for _ in range(50):
                budget.reserve(Spending(1, 1, 0.0))
        spent.append(budget.spent.requests)
    assert spent == granted
    assert sum(spent) <= 49
