"""How much each shop's update counts: a setting of whatever aggregator averages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecc_fed.core.aggregation import AdapterUpdate

# One weight, 0 or more, for every update; at least one above 0 where any shop had examples.
Weights = Callable[[Sequence[AdapterUpdate]], list[float]]


@dataclass(frozen=True, slots=True)
class ByExamples:
    """The examples that the shop learned from (McMahan et al. 2017, Algorithm 1)."""

    def __call__(self, updates: Sequence[AdapterUpdate]) -> list[float]:
        """Counts of examples."""
        return [float(update.num_examples) for update in updates]


@dataclass(frozen=True, slots=True)
class Uniform:
    """All shops alike, however much they learned from."""

    def __call__(self, updates: Sequence[AdapterUpdate]) -> list[float]:
        """Ones."""
        return [1.0] * len(updates)
