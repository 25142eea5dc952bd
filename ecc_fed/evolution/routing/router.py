"""A calibrated chance that a reply is good, learned by a shop from how its own former replies were received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.isotonic import Isotonic, fit_isotonic
from ecc_fed.core.rows import Signals

# Fewer outcomes say nothing.
LEAST_OUTCOMES = 10
# An outcome counts half as much with every round: the model that gave the reply has learned since.
_WEIGHT_A_ROUND_LATER = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reply was received: `good` if the judge accepted it and the customer did not complain.

    Kept of those queries alone that were chosen without looking at how the reply was received: were every unhappy
    customer's in, and the happy ones' not, the chances would come out too low.
    """

    server_round: int
    signals: Signals
    good: bool


def score(signals: Signals) -> float:
    """What speaks for a reply: the model's margin; where no model gave it, how near the question is to a known one.

    Nearness is not mixed into the margin: it tells wordings apart that a shop has seen, and nothing of new ones
    (experiments/router).
    """
    if signals.margin is not None:
        return signals.margin
    return 0.0 if signals.distance is None else 1 - signals.distance


class Router:
    """Chances of one shop, by isotonic regression of good replies on `score`.

    The regression sees one success below all scores and one failure above them, so that no chance is 0 or 1 and few
    outcomes promise little.

    Args:
        outcomes: what is known of former replies.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._levels: Isotonic | None = None
        if len(outcomes) < LEAST_OUTCOMES:
            return
        scores = [score(outcome.signals) for outcome in outcomes]
        newest = max(outcome.server_round for outcome in outcomes)
        weights = [_WEIGHT_A_ROUND_LATER ** (newest - outcome.server_round) for outcome in outcomes]
        good = [float(outcome.good) for outcome in outcomes]
        self._levels = fit_isotonic(
            [min(scores) - 1, *scores, max(scores) + 1], [1.0, *good, 0.0], [1.0, *weights, 1.0]
        )

    def chances(self, signals: Sequence[Signals]) -> list[float | None]:
        """The chance that each reply is good, above 0 and below 1; None before enough is known."""
        if self._levels is None:
            return [None] * len(signals)
        return [float(chance) for chance in self._levels([score(each) for each in signals])]
