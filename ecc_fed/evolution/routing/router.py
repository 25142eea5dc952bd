"""A calibrated chance that a reply is good, learned by a shop from how its own former replies were received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.core.isotonic import Isotonic, fit_isotonic
from ecc_fed.core.rows import Signals

Values = npt.NDArray[np.float64]

# Fewer outcomes say nothing.
LEAST_OUTCOMES = 10
# An outcome counts half as much with every round: the model that gave the reply has learned since.
_WEIGHT_A_ROUND_LATER = 0.5
# Of the logistic regression, on features of unit variance: keeps weights finite where outcomes are told apart exactly.
_RIDGE = 1.0
_NEWTON_STEPS = 25
_LARGEST_LOGIT = 30.0
# Equal signals shall have equal scores, whatever the last bits of a product.
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reply was received: `good` if the judge accepted it and the customer did not complain.

    Kept of those queries alone that were chosen without looking at how the reply was received: were every unhappy
    customer's in, and the happy ones' not, the chances would come out too low.
    """

    server_round: int
    signals: Signals
    good: bool


def _features(signals: Sequence[Signals]) -> Values:
    """(replies, 2): margin, and nearness of a known question; 0 for all where it was not measured."""
    rows = [[each.margin or 0.0, 0.0 if each.distance is None else 1 - each.distance] for each in signals]
    return np.array(rows, dtype=np.float64).reshape(len(signals), 2)


def fit_logistic(features: Values, good: Values, weights: Values) -> Values:
    """Coefficients (1 + features,) of a weighted ridge logistic regression by Newton's method, the constant first.

    The constant is not shrunk, but bounded: it runs away where all outcomes are alike.
    """
    x = np.column_stack([np.ones(len(features)), features])
    ridge = np.diag([1e-9, *[_RIDGE] * features.shape[1]])
    found = np.zeros(x.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(x @ found, -_LARGEST_LOGIT, _LARGEST_LOGIT)))
        slope = x.T @ (weights * (good - chance)) - ridge @ found
        curvature = (x * (weights * chance * (1 - chance))[:, None]).T @ x + ridge
        found = np.clip(found + np.linalg.solve(curvature, slope), -_LARGEST_LOGIT, _LARGEST_LOGIT)
    return found


class Router:
    """Chances of one shop: a logistic score of the signals, made a frequency by isotonic regression.

    The isotonic regression sees one success below all scores and one failure above them, so that no chance is 0 or 1
    and few outcomes promise little.

    Args:
        outcomes: what is known of former replies.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._levels: Isotonic | None = None
        if len(outcomes) < LEAST_OUTCOMES:
            return
        features = _features([outcome.signals for outcome in outcomes])
        good = np.array([outcome.good for outcome in outcomes], dtype=np.float64)
        rounds = np.array([outcome.server_round for outcome in outcomes])
        weights = _WEIGHT_A_ROUND_LATER ** (rounds.max() - rounds)
        self._mean, self._spread = features.mean(axis=0), features.std(axis=0)
        self._spread[self._spread < 1e-9] = 1.0
        self._slopes = fit_logistic((features - self._mean) / self._spread, good, weights)[1:]
        scores = self._scores(features)
        self._levels = fit_isotonic(
            [min(scores) - 1, *scores, max(scores) + 1], [1.0, *good.tolist(), 0.0], [1.0, *weights.tolist(), 1.0]
        )

    def chances(self, signals: Sequence[Signals]) -> list[float | None]:
        """The chance that each reply is good, above 0 and below 1; None before enough is known."""
        if self._levels is None:
            return [None] * len(signals)
        return [float(chance) for chance in self._levels(self._scores(_features(signals)))]

    def _scores(self, features: Values) -> list[float]:
        scores: Values = ((features - self._mean) / self._spread) @ self._slopes
        return [round(score, _DECIMALS) for score in scores.tolist()]
