"""Means of adapters, and distances between them: pure functions, tensor by tensor, without Flower."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ecc_fed.core.records import AdapterState


def normalised(weights: Sequence[float]) -> list[float]:
    """`weights` divided by their sum.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """
    total = math.fsum(weights)
    if not math.isfinite(total) or total <= 0 or min(weights) < 0:
        raise ValueError(f"weights {list(weights)} must be finite, at least 0, and not all 0")
    return [weight / total for weight in weights]


def weighted_mean(states: Sequence[AdapterState], weights: Sequence[float]) -> AdapterState:
    """The mean of every tensor, summed in fp64 in the order given, returned as fp32.

    The mean of one state is that state, bit for bit.

    Raises:
        ValueError: as `normalised`.
    """
    shares = normalised(weights)
    mean = {}
    for name, first in states[0].items():
        total = np.zeros(first.shape, np.float64)
        for state, share in zip(states, shares, strict=True):
            total += share * state[name].astype(np.float64)
        mean[name] = total.astype(np.float32)
    return mean


def mean_scale(scales: Sequence[float], weights: Sequence[float]) -> float:
    """sum_i p_i s_i: what the shops together multiply a common B A by. Exactly s where all scales are s.

    Raises:
        ValueError: as `normalised`.
    """
    first = scales[0]
    return first + math.fsum(p * (s - first) for p, s in zip(normalised(weights), scales, strict=True))


def bounded(after: AdapterState, before: AdapterState, norm: float) -> AdapterState:
    """before + (after - before) min(1, norm / ||after - before||), L2 over all tensors of `after`; itself if within."""
    moved = update_norm(after, before)
    if moved <= norm:
        return after
    shortened = {}
    for name, tensor in after.items():
        start = before[name].astype(np.float64)
        shortened[name] = (start + norm / moved * (tensor - start)).astype(np.float32)
    return shortened


def update_norm(after: AdapterState, before: AdapterState) -> float:
    """L2 norm of `after - before` over the tensors of `after`."""
    return math.sqrt(math.fsum(float(np.sum((after[name].astype(np.float64) - before[name]) ** 2)) for name in after))
