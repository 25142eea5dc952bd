"""What counts as a leak, and what the table of parties says."""

import pytest

from ecc_fed.core.rows import AttackName
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.attacks import AttackFigure
from experiments.privacy.threats import leaks


def figure(attack: AttackName, low: float | None, high: float | None) -> AttackFigure:
    mean = 0.0 if low is None or high is None else (low + high) / 2
    return AttackFigure(attack, "device", "", Estimate(mean, low, high, 20, 2, 20), 10, 10)


@pytest.mark.parametrize(
    ("found", "control", "expected"),
    [
        (figure("membership_ratio", 0.51, 0.7), figure("membership_ratio", 0.5, 0.5), True),
        (figure("membership_ratio", 0.49, 0.9), figure("membership_ratio", 0.5, 0.5), False),
        (figure("membership_loss", None, None), None, False),
        (figure("exposure", 2.0, 9.0), figure("exposure", 0.5, 1.9), True),
        (figure("exposure", 1.8, 9.0), figure("exposure", 0.5, 1.9), False),
        # Without a control nobody can say.
        (figure("exposure", 2.0, 9.0), None, False),
    ],
)
def test_a_leak_is_more_than_chance(found: AttackFigure, control: AttackFigure | None, expected: bool) -> None:
    assert leaks(found, control) is expected
