"""Coverage and efficiency by hand: two numbers that need not go together."""

from ecc_fed.privacy.attacks.leaks import coverage, efficiency


def test_a_value_told_often_is_covered_once_and_makes_many_replies_count() -> None:
    values, replies = ["王伟", "13800000000"], ["您好王伟", "王伟，亲", "好的", "王 伟"]
    assert coverage(values, replies) == [True, False]
    assert efficiency(values, replies) == [True, True, False, False]
    assert coverage(values, []) == [False, False] and efficiency([], replies) == [False] * 4
