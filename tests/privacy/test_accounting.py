"""The accountant against a privacy loss distribution worked out by hand on a grid, and the search for sigma."""

import math

import numpy as np
import pytest

from ecc_fed.privacy import accounting
from ecc_fed.privacy.accounting import NoisySteps, epsilon, noise_multiplier

pytest.importorskip("opacus", reason="needs pip install 'ecc_fed[privacy]'")


def losses(steps: NoisySteps, removed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The privacy loss of one step and its probabilities: P is the sum with the record in question, Q without."""
    sigma, q = steps.noise_multiplier, steps.sampling_rate
    x = np.linspace(-14 * sigma, 1 + 14 * sigma, 400_001)
    without = np.exp(-0.5 * (x / sigma) ** 2)
    with_it = (1 - q) * without + q * np.exp(-0.5 * ((x - 1) / sigma) ** 2)
    ratio = np.log1p(q * np.expm1((2 * x - 1) / (2 * sigma**2)))
    density = with_it if removed else without
    return (ratio if removed else -ratio), density / density.sum()


def by_hand(spent: list[NoisySteps], delta: float) -> float:
    """Epsilon of all steps: losses on a grid, added up by Fourier transform, and the larger of both directions."""
    size, width = 1 << 18, 120.0
    grid = (np.arange(size) - size // 2) * (width / size)
    found = []
    for removed in (True, False):
        total = np.ones(size // 2 + 1, dtype=np.complex128)
        for part in spent:
            loss, probability = losses(part, removed)
            place = np.clip(np.round(loss / (width / size)).astype(int), -size // 2, size // 2 - 1)
            one = np.zeros(size)
            np.add.at(one, place % size, probability)
            total *= np.fft.rfft(one) ** part.steps
        distribution = np.fft.fftshift(np.fft.irfft(total, size))
        low, high = 0.0, 60.0
        for _ in range(60):
            middle = (low + high) / 2
            above = grid > middle
            missed = float((distribution[above] * -np.expm1(middle - grid[above])).sum())
            low, high = (middle, high) if missed > delta else (low, middle)
        found.append(high)
    return max(found)


@pytest.mark.parametrize(
    "spent",
    [
        [NoisySteps(1.0, 0.1, 200)],
        [NoisySteps(0.8, 0.05, 50), NoisySteps(1.5, 0.3, 20)],
        [NoisySteps(2.0, 1.0, 4)],
        [NoisySteps(3.0, 0.13, 50), NoisySteps(2.0, 0.08, 50), NoisySteps(1.6, 0.06, 50), NoisySteps(1.5, 0.04, 50)],
    ],
)
def test_epsilon_is_that_of_the_privacy_loss_distribution(spent: list[NoisySteps]) -> None:
    expected = by_hand(spent, 1e-4)
    assert epsilon(spent, 1e-4) == pytest.approx(expected, rel=0.02, abs=0.02)
    assert epsilon(spent, 1e-4) >= expected - 1e-3, "a bound from above"


@pytest.mark.parametrize(
    "spent",
    [
        [NoisySteps(1.26, 8 / 60, 200)],
        [NoisySteps(0.8, 0.04, 400)],
        [NoisySteps(3.0, 0.13, 50), NoisySteps(1.6, 0.06, 50), NoisySteps(1.5, 0.04, 50)],
        [NoisySteps(5.0, 1.0, 10)],
    ],
)
def test_googles_accountant_agrees(spent: list[NoisySteps]) -> None:
    google = pytest.importorskip("dp_accounting", reason="needs the package dp-accounting")
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant()
    for part in spent:
        noise = google.GaussianDpEvent(part.noise_multiplier)
        step = noise if part.sampling_rate == 1 else google.PoissonSampledDpEvent(part.sampling_rate, noise)
        accountant.compose(step, part.steps)
    assert epsilon(spent, 1e-4) == pytest.approx(accountant.get_epsilon(1e-4), rel=0.02)


def test_a_gaussian_alone_has_its_closed_form() -> None:
    """Balle and Wang 2018, Eq. (6), for one step that draws everybody."""
    sigma, delta = 1.7, 1e-4

    def missed(eps: float) -> float:
        def below(x: float) -> float:
            return 0.5 * math.erfc(-x / math.sqrt(2))

        return below(1 / (2 * sigma) - eps * sigma) - math.exp(eps) * below(-1 / (2 * sigma) - eps * sigma)

    low, high = 0.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if missed(middle) > delta else (low, middle)
    assert epsilon([NoisySteps(sigma, 1.0, 1)], delta) == pytest.approx(high, abs=0.015)


def test_nothing_costs_nothing_and_no_noise_costs_everything() -> None:
    assert epsilon([], 1e-4) == epsilon([NoisySteps(1.0, 0.1, 0)], 1e-4) == 0.0
    assert epsilon([NoisySteps(1.0, 0.1, 5), NoisySteps(0.0, 0.1, 1)], 1e-4) == math.inf


@pytest.mark.parametrize(
    ("rate", "steps", "target"), [(0.1, 200, 8.0), (0.04, 200, 2.0), (1.0, 3, 4.0), (0.2, 50, 0.5)]
)
def test_the_least_noise_that_keeps_to_the_budget(rate: float, steps: int, target: float) -> None:
    sigma = noise_multiplier((), rate, steps, target, 1e-4)
    assert sigma is not None
    cost = epsilon([NoisySteps(sigma, rate, steps)], 1e-4)
    assert cost <= target and (cost >= 0.97 * target or sigma <= accounting.LEAST)
    assert epsilon([NoisySteps(0.96 * sigma, rate, steps)], 1e-4) > 0.99 * target


def test_what_was_spent_before_is_not_spent_again() -> None:
    before = (NoisySteps(2.0, 0.1, 50),)
    fresh, later = noise_multiplier((), 0.1, 50, 2.0, 1e-4), noise_multiplier(before, 0.1, 50, 2.0, 1e-4)
    assert fresh is not None and later is not None and later > fresh
    assert epsilon([*before, NoisySteps(later, 0.1, 50)], 1e-4) <= 2.0


def test_a_budget_that_no_noise_keeps() -> None:
    assert noise_multiplier((), 1.0, 5000, 0.01, 1e-4) is None
