"""Unlikeness: closed forms, and that it does not follow the amount of text."""

import numpy as np
import pytest

from ecc_fed.core.statistics import unlikeness


def figures(*sources, **given):
    return unlikeness([np.array(source, dtype=np.int64) for source in sources], np.random.default_rng(1), **given)


def entropy(shares):
    return -sum(share * np.log2(share) for share in shares if share)


def test_equal_sources_are_alike_and_sources_without_a_common_token_differ_by_a_bit():
    assert figures([0, 1, 1, 2] * 100, [1, 2, 0, 1] * 100) == [pytest.approx(0, abs=1e-12)] * 2
    assert figures([0, 1] * 100, [2, 3] * 100, [4, 5] * 100) == [pytest.approx(1)] * 3


def test_the_closed_form_against_the_even_mixture_of_the_others():
    # (3/4, 1/4, 0) against the mean of (1/4, 3/4, 0) and (0, 1/2, 1/2).
    found = figures([0, 0, 0, 1] * 100, [0, 1, 1, 1] * 100, [1, 1, 2, 2] * 100)
    own, others = np.array([0.75, 0.25, 0.0]), np.array([0.125, 0.625, 0.25])
    assert found[0] == pytest.approx(entropy((own + others) / 2) - (entropy(own) + entropy(others)) / 2)
    assert figures([0, 0, 0, 1] * 100, [0, 1, 1, 1] * 100)[0] == pytest.approx(
        entropy([0.5, 0.5]) - entropy([0.75, 0.25])
    )


def test_little_text_looks_no_more_unlike_than_much():
    rng = np.random.default_rng(3)
    sources = [rng.integers(0, 400, size) for size in (400, 400, 400, 8000, 8000, 8000)]
    found = figures(*sources)
    assert np.mean(found[:3]) == pytest.approx(np.mean(found[3:]), rel=0.1)
    # So much for what it would be if all took all they have: against a large mixture a small sample differs.
    assert found[0] > 0.1


def test_too_little_text_takes_no_part():
    assert figures([0] * 199, [0] * 200, [1] * 200) == [None, pytest.approx(1), pytest.approx(1)]
    assert figures([0] * 500, [1] * 10) == [None, None]
    assert figures([]) == [None]
    assert figures() == []


def test_the_same_draws_give_the_same_figures():
    sources = [np.random.default_rng(n).integers(0, 50, 300 + 50 * n) for n in range(4)]
    first, second, other = (unlikeness(sources, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != other
