"""Isotonic regression against a search over all monotone step functions, and by its own identities."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.core.isotonic import fit_isotonic

OBSERVED = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0]), st.sampled_from([0.25, 0.5, 1.0, 2.0])),
    min_size=1,
    max_size=7,
)


def error(levels: dict[float, float], observed: list[tuple[float, float, float]]) -> float:
    return sum(weight * (value - levels[score]) ** 2 for score, value, weight in observed)


def best_error(observed: list[tuple[float, float, float]]) -> float:
    """The least squared error of a nondecreasing function: it is constant on blocks, at their weighted means."""
    scores = sorted({score for score, _, _ in observed})
    found = np.inf
    for cuts in itertools.product([False, True], repeat=len(scores) - 1):
        blocks, block = [], [scores[0]]
        for score, cut in zip(scores[1:], cuts, strict=True):
            if cut:
                blocks.append(block)
                block = []
            block.append(score)
        blocks.append(block)
        means = []
        for block in blocks:
            inside = [(value, weight) for score, value, weight in observed if score in block]
            means.append(sum(v * w for v, w in inside) / sum(w for _, w in inside))
        if means == sorted(means):
            levels = {score: mean for block, mean in zip(blocks, means, strict=True) for score in block}
            found = min(found, error(levels, observed))
    return found


@given(OBSERVED)
@settings(max_examples=200, deadline=None)
def test_no_monotone_function_is_nearer(observed: list[tuple[int, float, float]]) -> None:
    rows = [(float(score), value, weight) for score, value, weight in observed]
    fitted = fit_isotonic(*(list(column) for column in zip(*rows, strict=True)))
    scores = sorted({score for score, _, _ in rows})
    levels = dict(zip(scores, fitted(scores).tolist(), strict=True))
    assert list(levels.values()) == sorted(levels.values())
    assert error(levels, rows) == pytest.approx(best_error(rows), abs=1e-9)
    # The mean is kept, and the order of the observations is nothing.
    total = sum(weight for _, _, weight in rows)
    assert sum(levels[s] * w for s, _, w in rows) / total == pytest.approx(sum(v * w for _, v, w in rows) / total)
    turned = fit_isotonic(*(list(column) for column in zip(*rows[::-1], strict=True)))
    assert turned(scores) == pytest.approx(fitted(scores))


def test_a_step_holds_until_the_next_and_the_first_below_it() -> None:
    fitted = fit_isotonic([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0], [1.0] * 4)
    assert fitted([-9.0, 1.0, 1.9, 2.0, 3.9, 4.0, 99.0]).tolist() == [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("columns", [([], [], []), ([1.0], [1.0, 0.0], [1.0]), ([1.0], [1.0], [0.0])])
def test_what_cannot_be_fitted_is_refused(columns: tuple[list[float], list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="isotonic regression got"):
        fit_isotonic(*columns)
