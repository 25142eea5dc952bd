"""Chances that replies are good, learned from former ones."""

import math

import numpy as np
import pytest

from ecc_fed.core.rows import Signals
from ecc_fed.evolution.routing.router import LEAST_OUTCOMES, Outcome, Router
from ecc_fed.evolution.routing.signals import signals_of
from tests.evolution.fakes import pair

RNG = np.random.default_rng(0)


def drawn(count: int, server_round: int = 1, seed: int = 0) -> list[Outcome]:
    """Good with a chance that is the margin, whatever the distance."""
    rng = np.random.default_rng(seed)
    margins, distances, luck = rng.random((3, count))
    return [
        Outcome(server_round, Signals(float(m), float(d)), bool(u < m))
        for m, d, u in zip(margins, distances, luck, strict=True)
    ]


def at(*margins: float) -> list[Signals]:
    return [Signals(margin, 0.5) for margin in margins]


def test_chances_are_the_frequencies_of_the_outcomes() -> None:
    chances = Router(drawn(4000)).chances(at(0.1, 0.3, 0.5, 0.7, 0.9))
    assert chances == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=0.08)


def test_few_outcomes_say_nothing_and_enough_of_them_never_all_or_nothing() -> None:
    good = [Outcome(1, signals, True) for signals in at(*np.linspace(0, 1, LEAST_OUTCOMES))]
    assert Router(good[1:]).chances(at(0.5, 0.6)) == [None, None]
    for outcomes in (good, [Outcome(1, o.signals, False) for o in good]):
        assert all(chance is not None and 0 < chance < 1 for chance in Router(outcomes).chances(at(-9.0, 0.5, 9.0)))
    # Of n outcomes alike, the smoothing counts one of the other kind.
    assert Router(good).chances(at(0.5)) == [pytest.approx(LEAST_OUTCOMES / (LEAST_OUTCOMES + 1), abs=0.1)]


def test_what_was_learned_last_weighs_most() -> None:
    signals = at(*np.linspace(0.4, 0.6, 40))
    old = [Outcome(1, each, False) for each in signals]
    new = [Outcome(3, each, True) for each in signals]
    (late,) = Router([*old, *new]).chances(at(0.5))
    (alike,) = Router([*old, *(Outcome(1, each.signals, True) for each in new)]).chances(at(0.5))
    assert late is not None and alike is not None
    assert alike == pytest.approx(0.5, abs=0.05)
    assert late == pytest.approx(0.8, abs=0.05), "each round halves a weight: 1 against 1/4"


def test_the_margin_decides_and_nearness_where_there_is_none() -> None:
    draws = RNG.random((200, 2)).tolist()
    sure, unsure = Router([Outcome(1, Signals(m, d), m > 0.5) for m, d in draws]).chances(
        [Signals(0.9, 0.9), Signals(0.1, 0.1)]
    )
    assert sure is not None and unsure is not None and sure > 0.9 and unsure < 0.1
    near, far = Router([Outcome(1, Signals(None, d), d < 0.5) for _, d in draws]).chances(
        [Signals(None, 0.1), Signals(None, 0.9)]
    )
    assert near is not None and far is not None and near > 0.9 and far < 0.1
    blind = [Outcome(1, Signals(None, None), i % 4 > 0) for i in range(400)]
    assert Router(blind).chances([Signals(None, None)]) == [pytest.approx(0.75, abs=0.01)]


def test_the_order_of_the_outcomes_is_nothing() -> None:
    outcomes = drawn(60)
    signals = at(*np.linspace(0, 1, 21))
    assert Router(outcomes[::-1]).chances(signals) == pytest.approx(Router(outcomes).chances(signals), abs=1e-6)


def test_signals_are_the_margin_and_the_distance_to_the_nearest_known_question() -> None:
    known = [pair("a", "x1"), pair("a", "y2")]
    asked = [pair("a", "x1"), pair("a", "完全不同")]
    same, new = signals_of(asked, [0.123456, None], known)
    assert same == Signals(0.1235, 0.0)
    assert new.margin is None and new.distance is not None and 0.5 < new.distance < 1
    assert signals_of(asked[:1], [1.0], []) == [Signals(1.0, None)]
    assert not math.isnan(new.distance)
