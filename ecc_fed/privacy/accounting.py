"""What noisy training has cost in privacy: (epsilon, delta) of subsampled Gaussian steps, by opacus' PRV accountant.

A step takes part in the sum by Poisson sampling with probability q, and the sum has Gaussian noise of sigma times the
bound on one record (Abadi et al. 2016). Steps compose over all rounds, whatever their sigma and q (Gopi et al. 2021).
Neighbours differ by one record, added or removed; how many records there are is taken as known.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ecc_fed.core.errors import ConfigError

# What sigma is looked for between: below, a step protects nothing; above, nothing is learned.
LEAST, MOST = 0.3, 500.0
# The accountant's upper bound lies at most so far above the epsilon that it finds.
_EPSILON_ERROR = 0.01
# Whole orders are quick to work out.
_ORDERS = list(range(2, 65))
# A target is met to this part of it, from below.
_CLOSE = 0.01


@dataclass(frozen=True, slots=True)
class NoisySteps:
    """Steps alike: sigma, the probability q of every record to take part in one, and how many."""

    noise_multiplier: float
    sampling_rate: float
    steps: int


def epsilon(spent: Sequence[NoisySteps], delta: float) -> float:
    """An upper bound of the epsilon of all these steps together, at `delta`; infinite where one had no noise.

    Raises:
        ConfigError: opacus is not installed.
    """
    taken = tuple(part for part in spent if part.steps and part.sampling_rate)
    if not taken:
        return 0.0
    if any(part.noise_multiplier <= 0 for part in taken):
        return math.inf
    return _epsilon(taken, delta)


@lru_cache(maxsize=4096)
def _epsilon(spent: tuple[NoisySteps, ...], delta: float) -> float:
    accountant = _accountants().PRVAccountant()
    accountant.history = [(part.noise_multiplier, part.sampling_rate, part.steps) for part in spent]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logarithms of 0 on its way, which it expects
        return float(accountant.get_epsilon(delta=delta, eps_error=_EPSILON_ERROR))


def _accountants() -> Any:
    try:
        from opacus import accountants
    except ImportError as error:
        raise ConfigError(
            "Differential privacy takes its accountant from the package opacus. Install it: pip install "
            "'ecc_fed[privacy]'."
        ) from error
    return accountants


def noise_multiplier(
    spent: Sequence[NoisySteps], sampling_rate: float, steps: int, target: float, delta: float
) -> float | None:
    """The least sigma with which `steps` more keep all of them within `target`; None where no sigma up to 500 does.

    Args:
        spent: steps before.
        sampling_rate: q of the steps to come.
        steps: how many, at least 1.
        target: the epsilon not to be exceeded; 1% of it may be left.
        delta: of the epsilon.

    Raises:
        ConfigError: opacus is not installed.
    """

    def cost(sigma: float) -> float:
        return epsilon((*spent, NoisySteps(sigma, sampling_rate, steps)), delta)

    # The PRV accountant takes long far below its target: the search begins near, and from above.
    high = spent[-1].noise_multiplier if spent else _renyi_noise(sampling_rate, steps, target, delta)
    while high <= MOST and cost(high) > target:
        high *= 1.25
    if high > MOST:
        return None
    low = 0.8 * high
    while low > LEAST and cost(low) <= target:
        low, high = 0.8 * low, low
    # Nearly a line in log sigma: regula falsi.
    for _ in range(8):
        at_high = cost(high)
        if at_high >= target * (1 - _CLOSE) or high <= LEAST:
            break
        above, below = math.log(cost(low) / target), math.log(at_high / target)
        share = min(max(above / (above - below), 0.1), 0.9)
        middle = low ** (1 - share) * high**share
        low, high = (middle, high) if cost(middle) > target else (low, middle)
    return high


@lru_cache(maxsize=4096)
def _renyi_noise(sampling_rate: float, steps: int, target: float, delta: float) -> float:
    """A sigma that keeps such steps by themselves to the target, and not much more; 500 where none up to it does.

    By the moments accountant's bound, which is quick everywhere (Mironov et al. 2019).
    """
    low, high = LEAST, MOST
    for _ in range(12):
        accountant, middle = _accountants().RDPAccountant(), math.sqrt(low * high)
        accountant.history = [(middle, sampling_rate, steps)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the best order is at the end of its range: the bound still holds
            low, high = (
                (low, middle) if accountant.get_epsilon(delta=delta, alphas=_ORDERS) <= target else (middle, high)
            )
    return high
