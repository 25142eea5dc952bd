import pytest

from ecc_fed.reporting.routing.calibration import Bin, calibration_error, reliability


def test_chances_that_come_true_have_no_error() -> None:
    chances = [0.25] * 4 + [0.8] * 5
    good = [True, False, False, False, True, True, True, True, False]
    assert calibration_error(chances, good) == pytest.approx(0.0)
    assert reliability(chances, good) == [
        Bin(0.2, 0.3, 4.0, pytest.approx(0.25), 0.25),
        Bin(0.8, 0.9, 5.0, pytest.approx(0.8), 0.8),
    ]


def test_the_error_is_the_mean_distance_weighted_by_queries() -> None:
    assert calibration_error([0.95] * 3 + [0.05], [False] * 3 + [True]) == pytest.approx(0.95)
    assert calibration_error([0.95] * 3 + [0.05], [True] * 3 + [True]) == pytest.approx(0.75 * 0.05 + 0.25 * 0.95)
    assert calibration_error([0.95, 0.05], [True, True], [3, 1]) == pytest.approx(0.75 * 0.05 + 0.25 * 0.95)
    # Too sure here and not sure enough there does not cancel within other bins, but does within one.
    assert calibration_error([0.5, 0.5], [True, False]) == pytest.approx(0.0)


def test_certainty_belongs_to_the_last_bin_and_nothing_has_no_error() -> None:
    assert [(b.low, b.queries) for b in reliability([1.0, 0.9], [True, True])] == [(0.9, 2.0)]
    assert calibration_error([], []) == 0.0


@pytest.mark.parametrize(("chances", "good"), [([1.1], [True]), ([-0.1], [True]), ([0.5], [])])
def test_what_is_no_chance_is_refused(chances: list[float], good: list[bool]) -> None:
    with pytest.raises(ValueError, match="calibration got"):
        calibration_error(chances, good)
