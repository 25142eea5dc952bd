"""Fronts held to a plain reading of the definition, and to points known by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.pareto import front
from ecc_fed.reporting.study import load_study


def test_points_by_hand():
    #          cheap and bad, dear and good, beaten by the second, as good as the second and cheaper
    assert front([(0.1, [0.0]), (0.9, [9.0]), (0.8, [9.0]), (0.9, [5.0])]) == {0, 3}
    # Equals beat nobody.
    assert front([(0.5, [1.0]), (0.5, [1.0]), (0.4, [1.0])]) == {0, 1}
    # Dearer in one cost, cheaper in the other: both stand.
    assert front([(0.5, [1.0, 2.0]), (0.5, [2.0, 1.0])]) == {0, 1}
    assert front([]) == set()


def test_a_point_without_its_cost_is_on_no_front_and_beats_nobody():
    assert front([(0.9, [None]), (0.5, [3.0])]) == {1}
    assert front([(0.9, [0.0, None]), (0.5, [3.0, 1.0])]) == {1}


def test_any_cloud_of_points():
    rng = np.random.default_rng(1)
    for _ in range(30):
        points = [(int(q), [int(a), int(b)]) for q, a, b in rng.integers(0, 4, (8, 3))]
        beaten = {
            number
            for (number, (q, (a, b))), (_, (other_q, (other_a, other_b))) in itertools.permutations(
                enumerate(points), 2
            )
            if other_q >= q and other_a <= a and other_b <= b and (other_q, other_a, other_b) != (q, a, b)
        }
        assert front(points) == set(range(8)) - beaten


def test_arms_with_their_costs(known_run, tmp_path):
    def seconds(wall):
        return lambda info: replace(info, runtime=replace(info.runtime, wall_seconds=wall))

    known_run("none", 0, {"a": [0] * 10}, change=seconds(1.0))
    known_run("local", 0, {"a": [1] * 6 + [0] * 4}, change=seconds(9.0))
    known_run("aggregated", 0, {"a": [1] * 6 + [0] * 4}, change=seconds(10.0))
    findings = find(load_study([tmp_path]))
    found = {place.group.arm: place for _, measure, places in findings.places for place in places
             if measure == findings.outcome}  # fmt: skip
    assert {arm: place.quality.mean for arm, place in found.items()} == {
        "none": 0.0, "local": pytest.approx(0.6), "aggregated": pytest.approx(0.6),
    }  # fmt: skip
    # One shop, four rounds: 40 calls a round, but of the arm that asks nobody; bytes as the ledger has them.
    assert {arm: place.costs["cloud_calls"] for arm, place in found.items()} == {
        "none": 0, "local": 160, "aggregated": 160,
    }  # fmt: skip
    assert found["local"].costs["cloud_up_bytes"] == 4 * 94_000
    assert [found[arm].costs["federation_bytes"] for arm in found] == [0, 0, 8 * 310_000]
    assert {arm: place.front for arm, place in found.items()} == {
        # The invented ledger gives it bytes all the same, with which local gets more right.
        "none": ("cloud_calls", "seconds"),
        "local": ("cloud_calls", "cloud_up_bytes", "federation_bytes", "seconds"),
        # As good and as dear as local in calls and bytes to the cloud, dearer in the rest.
        "aggregated": ("cloud_calls", "cloud_up_bytes"),
    }
    assert [place.unbeaten for place in found.values()] == [True, True, False]
