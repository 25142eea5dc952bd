import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.arms import ArmPlan


@pytest.mark.parametrize(
    ("plan", "aggregated"),
    [
        (ArmPlan(0), 0),
        (ArmPlan(4), 0),
        (ArmPlan(4, aggregate=True), 4),
        (ArmPlan(4, aggregate=True, personal_rounds=1), 3),
        (ArmPlan(4, aggregate=True, personal_rounds=4), 0),
    ],
)
def test_aggregated_rounds(plan, aggregated):
    assert plan.aggregated_rounds == aggregated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "server_rounds=-1 is out of range"),
        ((2, True, 3), "personal_rounds=3 is out of range: 0 to server_rounds=2"),
        ((2, True, -1), "personal_rounds=-1 is out of range"),
        ((2, False, 1), "personal_rounds=1 needs aggregate=true"),
    ],
)
def test_a_plan_out_of_range_says_what_and_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ArmPlan(*arguments)
