import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.arms import Aggregated, Centralized, Frozen, Local, Personalized


def rounds_of(arm, asked) -> list[int]:
    return [server_round for server_round in range(1, 6) if asked(server_round)]


@pytest.mark.parametrize(
    ("arm", "evolves", "rounds", "uploads", "from_server"),
    [
        (Frozen(4), False, 0, [], []),
        (Local(4), True, 4, [], []),
        (Centralized(4), True, 4, [], []),
        (Aggregated(4), True, 4, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),  # 5: the final evaluation
        (Personalized(4, 0), True, 4, [1, 2, 3, 4], [1, 2, 3, 4]),
        (Personalized(4, 1), True, 4, [1, 2, 3], [1, 2, 3]),
        (Personalized(4, 4), True, 4, [], []),
    ],
)
def test_who_exchanges_when(arm, evolves, rounds, uploads, from_server):
    assert (arm.evolves, arm.server_rounds, arm.evaluates_base) == (evolves, rounds, True)
    assert rounds_of(arm, arm.uploads) == uploads
    assert rounds_of(arm, arm.starts_from_server) == from_server


def test_names_may_be_given_and_have_defaults():
    arms = [Frozen(1), Local(1), Aggregated(1), Personalized(1, 1), Personalized(1, 1, name="late")]
    assert [arm.name for arm in arms] == ["none", "local", "aggregated", "personalized", "late"]


def test_a_frozen_arm_has_no_rounds_and_personal_rounds_may_be_none_or_all():
    assert (Frozen(4).server_rounds, Frozen(0).server_rounds) == (0, 0)
    assert [Personalized(4, personal_rounds).personal_rounds for personal_rounds in (0, 1, 4)] == [0, 1, 4]


@pytest.mark.parametrize(
    ("personal_rounds", "message"),
    [
        (3, "arm.personal_rounds=3 is out of range: at most evolution.server_rounds=2"),
        (-1, "arm.personal_rounds=-1 is out of range: 0 or more"),
    ],
)
def test_personal_rounds_out_of_range_say_what_and_why(personal_rounds, message):
    with pytest.raises(ConfigError, match=message):
        Personalized(2, personal_rounds)
