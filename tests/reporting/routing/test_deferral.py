"""Deferral curves against every order written out, and APGR by what it must be at its ends."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.reporting.routing.deferral import deferral_curve, oracle_curve

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0]), st.integers(0, 2)),
    min_size=1,
    max_size=5,
)


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_the_curve_is_the_mean_over_all_orders_that_ties_allow(rows: list[tuple[float, float, int]]) -> None:
    device, cloud, keep = ([float(x) for x in column] for column in zip(*rows, strict=True))
    curve = deferral_curve(device, cloud, keep)
    n = len(rows)
    orders = [o for o in itertools.permutations(range(n)) if [keep[i] for i in o] == sorted(keep)]
    for handed in range(n + 1):
        values = [
            sum(cloud[i] if place < handed else device[i] for place, i in enumerate(order)) / n for order in orders
        ]
        assert curve.quality(handed / n) == pytest.approx(np.mean(values))


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_nothing_beats_the_oracle_at_any_budget(rows: list[tuple[float, float, int]]) -> None:
    device, cloud, keep = ([float(x) for x in column] for column in zip(*rows, strict=True))
    best, curve = oracle_curve(device, cloud), deferral_curve(device, cloud, keep)
    for share in np.linspace(0, 1, 11):
        assert best.quality(share) >= curve.quality(share) - 1e-9
    if curve.gain_recovered is not None:
        assert best.gain_recovered is not None and best.gain_recovered >= curve.gain_recovered - 1e-9


def test_random_recovers_half_of_the_gain_and_a_router_that_knows_more() -> None:
    device, cloud = [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]
    blind = deferral_curve(device, cloud, [0.7] * 4)
    assert blind.gain_recovered == pytest.approx(0.5)
    assert blind.quality(0.25) == pytest.approx(0.625)
    knowing = deferral_curve(device, cloud, device)
    assert knowing.gain_recovered == oracle_curve(device, cloud).gain_recovered == pytest.approx(0.75)
    wrong = deferral_curve(device, cloud, [1 - x for x in device])
    assert wrong.gain_recovered == pytest.approx(0.25)


def test_without_a_gain_there_is_none_to_recover() -> None:
    assert deferral_curve([1.0, 0.0], [0.0, 1.0], [0.1, 0.9]).gain_recovered is None


def test_counts_are_copies() -> None:
    device, cloud, keep = [0.0, 1.0, 0.5], [1.0, 0.0, 1.0], [0.2, 0.1, 0.2]
    counted = deferral_curve(device, cloud, keep, [2, 0, 1])
    copied = deferral_curve([0.0, 0.0, 0.5], [1.0, 1.0, 1.0], [0.2, 0.2, 0.2])
    for share in (0.0, 0.3, 1.0):
        assert counted.quality(share) == pytest.approx(copied.quality(share))
    assert counted.gain_recovered == pytest.approx(copied.gain_recovered)


@pytest.mark.parametrize("columns", [([], [], []), ([1.0], [1.0], [0.1, 0.2])])
def test_columns_of_unlike_lengths_are_refused(columns: tuple[list[float], list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="a deferral curve got"):
        deferral_curve(*columns)
