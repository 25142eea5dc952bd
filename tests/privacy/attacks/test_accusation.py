"""Whom an attack finds, by hand and by all orders of those that tie."""

from itertools import permutations

import pytest

from ecc_fed.privacy.attacks.accusation import found_among, recall_at


def test_as_many_as_are_there_are_accused() -> None:
    residuals, there = [0.1, 0.4, 0.2, 0.9, 0.3], [True, True, False, False, True]
    assert recall_at(residuals, there, 3) == pytest.approx(2 / 3)
    assert recall_at(residuals, there, 1) == pytest.approx(1 / 3)
    assert recall_at(residuals, there, 99) == 1.0
    assert recall_at(residuals, there, 0) == 0.0
    assert recall_at([0.1], [False], 1) is None


def test_ties_are_broken_by_chance() -> None:
    residuals, there = [0.0, 1.0, 1.0, 1.0, 2.0], [True, True, False, True, True]
    orders = list(permutations(range(5)))
    found = [sum(there[i] for i in sorted(order, key=lambda i: residuals[i])[:3]) / 4 for order in orders]
    assert recall_at(residuals, there, 3) == pytest.approx(sum(found) / len(found))


def test_who_says_nothing_finds_what_chance_finds() -> None:
    assert recall_at([1.0] * 200, [True] * 10 + [False] * 190, 10) == pytest.approx(10 / 200)


def test_the_certain_ones_by_hand() -> None:
    assert found_among([True, True, False, True], [True, False, True, True]) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    assert found_among([False, False], [True, False]) == (0.0, None)
    assert found_among([True, False], [False, False]) == (None, 0.0)
