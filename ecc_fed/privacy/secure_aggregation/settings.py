"""What a run says of secure aggregation, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require
from ecc_fed.privacy.secure_aggregation.graph import derived_neighbours
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation, needed_bits

_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class SecureAggregationSettings:
    """The group `secure_aggregation` of a run.

    Raises:
        ConfigError: a value out of range.
    """

    # Masks every update on its device; the server reads the sum alone.
    enabled: bool = False
    # With so many others a shop shares masks; an odd number becomes the next even one. null: with all up to 64, then
    # as many as `graph.derived_neighbours` says.
    neighbours: int | None = None
    # Of a shop and its neighbours, so many must stay to the end; fewer than these learn nothing by pooling what they
    # know with the server. Above one half.
    threshold: float = 0.66
    # A sum of fewer shops is never read.
    min_shops: int = 3
    # A shop whose adapter holds a value beyond this, either way, drops out of the round.
    clipping_range: float = 16.0
    # Every number becomes a whole number of so many bits: a step of 2 clipping_range / (2^bits - 1).
    bits: int = 28
    # Sums are taken modulo 2^modulus_bits, whole bytes; null: the fewest bytes that hold them.
    modulus_bits: int | None = None
    # true: keys from the run's seed, which protect from nobody who knows it; false: from the system's entropy.
    seeded_keys: bool = True

    def __post_init__(self) -> None:
        group = "secure_aggregation"
        require(0.5 < self.threshold <= 1, f"{group}.threshold", self.threshold, "above 0.5, at most 1")
        require(self.min_shops >= 2, f"{group}.min_shops", self.min_shops, "2 or more")
        few = self.neighbours is None or self.neighbours >= self.min_shops - 1
        require(few, f"{group}.neighbours", self.neighbours, f"{self.min_shops - 1} or more (min_shops - 1), or null")
        in_range = 0 < self.clipping_range <= 1e6
        require(in_range, f"{group}.clipping_range", self.clipping_range, "above 0, at most 1e6")
        require(8 <= self.bits <= 32, f"{group}.bits", self.bits, "8 to 32")
        modulus = self.modulus_bits
        whole = modulus is None or (modulus % 8 == 0 and self.bits < modulus <= _MOST_BITS)
        require(whole, f"{group}.modulus_bits", modulus, f"a multiple of 8 above bits, at most {_MOST_BITS}, or null")

    def neighbours_of(self, count: int) -> int:
        """With how many others each of `count` shops shares masks: an even number, or all others."""
        wanted = derived_neighbours(count, self.threshold) if self.neighbours is None else self.neighbours
        return min(wanted + wanted % 2, count - 1)

    def threshold_of(self, num_shares: int) -> int:
        """How many of a shop's shares bring its secret back, of `num_shares` in all, its own included."""
        return math.ceil(self.threshold * num_shares)

    def quantisation(self, num_shops: int, max_weight: int) -> Quantisation:
        """How numbers travel in a run of so many shops, each of which counts at most `max_weight`.

        Raises:
            ConfigError: their sum does not fit into the modulus.
        """
        needed = needed_bits(self.bits, num_shops, max_weight)
        modulus = 8 * math.ceil(needed / 8) if self.modulus_bits is None else self.modulus_bits
        if needed > min(modulus, _MOST_BITS):
            raise ConfigError(
                f"secure_aggregation.bits={self.bits}: a sum over {num_shops} shops of up to {max_weight} examples "
                f"takes {needed} bits, and {min(modulus, _MOST_BITS)} are there. Take fewer bits"
                f"{'' if modulus >= _MOST_BITS else ' or a larger secure_aggregation.modulus_bits'}."
            )
        return Quantisation(self.clipping_range, self.bits, modulus // 8, max_weight)
