"""The deferral curve: quality against the share of queries handed to the cloud, by who is handed over first.

Queries of one score are handed over in a random order, so the curve is the expected one: a straight line across them.
Handing over at random is therefore a straight line from the device's mean to the cloud's, at any budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DeferralCurve:
    """Corners of a piecewise linear curve from share 0 (the device alone) to share 1 (the cloud alone)."""

    shares: Values
    qualities: Values

    def quality(self, share: float) -> float:
        """Mean quality with so many of the queries handed over, 0 to 1."""
        return float(np.interp(share, self.shares, self.qualities))

    @property
    def gain_recovered(self) -> float | None:
        """APGR (RouteLLM): area under (quality - device) / (cloud - device) over the share.

        Random is 1/2. None where the cloud is no better than the device: there is no gain to recover.
        """
        device, cloud = self.qualities[0], self.qualities[-1]
        if cloud <= device:
            return None
        widths = np.diff(self.shares)
        area = float(widths @ (self.qualities[1:] + self.qualities[:-1]) / 2)
        return float((area - device) / (cloud - device))


def deferral_curve(
    device: Sequence[float], cloud: Sequence[float], keep: Sequence[float], counts: npt.ArrayLike | None = None
) -> DeferralCurve:
    """The curve of handing over the queries with the lowest `keep` first.

    Args:
        device, cloud: (queries,) quality of either's reply.
        keep: (queries,) how much speaks for the device's reply.
        counts: (queries,) how often each query counts, of which some must count; None is once.

    Raises:
        ValueError: no query, or the arguments differ in length.
    """
    weak, strong, score = (np.asarray(column, dtype=np.float64) for column in (device, cloud, keep))
    weight = np.ones(len(weak)) if counts is None else np.asarray(counts, dtype=np.float64)
    if not len(weak) or not len(weak) == len(strong) == len(score) == len(weight) or weight.sum() <= 0:
        raise ValueError(f"a deferral curve got {len(weak)} device, {len(strong)} cloud and {len(score)} scores")
    levels, place = np.unique(score, return_inverse=True)
    sizes = np.bincount(place, weights=weight, minlength=len(levels))
    gains = np.bincount(place, weights=weight * (strong - weak), minlength=len(levels))
    total = weight.sum()
    shares = np.concatenate([[0.0], np.cumsum(sizes) / total])
    qualities = (weight @ weak + np.concatenate([[0.0], np.cumsum(gains)])) / total
    return DeferralCurve(shares / shares[-1], qualities)


def oracle_curve(device: Sequence[float], cloud: Sequence[float], counts: npt.ArrayLike | None = None) -> DeferralCurve:
    """The best curve there is: those first for whom the cloud gains most."""
    return deferral_curve(device, cloud, (np.asarray(device) - np.asarray(cloud)).tolist(), counts)
