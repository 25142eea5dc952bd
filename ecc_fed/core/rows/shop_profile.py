"""What a shop's training dialogues are like, beside those of the run's other shops: a part of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShopProfile:
    """One shop's training dialogues, measured by the simulation: no shop knows the others'.

    Attributes:
        training_pairs: human replies that its device may learn from; pseudo-labels come on top.
        unlikeness: Jensen-Shannon divergence, in bits (0 to 1), of the pairs' character bigrams from the even mixture
            of the other shops'; None where the shop, or every other one, has too little text.
    """

    training_pairs: int
    unlikeness: float | None
