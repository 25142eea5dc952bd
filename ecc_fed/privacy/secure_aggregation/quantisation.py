"""Adapters as whole numbers that can be masked and added, and their weighted mean back.

| symbol | argument | range |
|---|---|---|
| C | `clipping_range` | above 0; every value x lies in [-C, C] |
| b | `bits` | 8 to 32 |
| w | `weight` | 0 to `max_weight` |

q(x) = round((x + C) (2^b - 1) / 2C). A shop sends w, its examples, and w q(x) for every x; sum w q / sum w, taken
back, is the weighted mean to within half a step, C / (2^b - 1), whatever the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_fed.core.errors import EccError

Words = NDArray[np.uint64]

# What stands before the values: the weight, and the number of examples.
HEAD = 2


class BeyondRange(EccError):
    """A value that does not fit into the clipping range; says no more of it than that."""


class UnreadableSum(ValueError):
    """A sum that no shops' numbers can add up to."""


def needed_bits(bits: int, num_shops: int, max_weight: int) -> int:
    """Bits of the largest sum."""
    return (num_shops * max_weight * ((1 << bits) - 1)).bit_length()


@dataclass(frozen=True, slots=True)
class Sum:
    """What the server reads: `mean` is fp64, None where all weights were 0."""

    weight: int
    num_examples: int
    mean: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How numbers travel.

    Attributes:
        clipping_range: C.
        bits: b.
        modulus_bytes: sums are taken modulo 2^(8 modulus_bytes); a number on the wire takes as many bytes.
        max_weight: of one shop, and the most examples it can have.
    """

    clipping_range: float
    bits: int
    modulus_bytes: int
    max_weight: int

    @property
    def _steps(self) -> int:
        return (1 << self.bits) - 1

    def encode(self, weight: int, num_examples: int, values: NDArray[np.float32]) -> Words:
        """The numbers (2 + d,) of a shop whose adapter holds the `values` (d,).

        Raises:
            BeyondRange: a value is not finite or beyond the clipping range; or the weight or the examples are too many.
        """
        if not np.abs(values).max(initial=0.0) <= self.clipping_range:  # false for a NaN, too
            raise BeyondRange(
                f"the adapter holds a value beyond secure_aggregation.clipping_range={self.clipping_range:g}, or one "
                "that is not finite. Take a larger range; secure_aggregation.bits keeps the steps small."
            )
        if not (0 <= weight <= self.max_weight and 0 <= num_examples <= self.max_weight):
            raise BeyondRange(f"the shop learned from more than {self.max_weight} examples, the most that it can have.")
        numbers = np.empty(HEAD + len(values), np.uint64)
        numbers[:HEAD] = weight, num_examples
        scaled = (values.astype(np.float64) + self.clipping_range) * (self._steps / (2 * self.clipping_range))
        numbers[HEAD:] = np.rint(scaled).clip(0, self._steps).astype(np.uint64) * np.uint64(weight)
        return numbers

    def decode(self, total: Words, num_shops: int) -> Sum:
        """What the numbers (2 + d,) of `num_shops` shops add up to.

        Raises:
            UnreadableSum: no numbers of so many shops can give it: a mask is still in it, or a shop broke the rules.
        """
        weight, num_examples = int(total[0]), int(total[1])
        most = num_shops * self.max_weight
        if weight > most or num_examples > most or int(total[HEAD:].max(initial=0)) > weight * self._steps:
            raise UnreadableSum("no updates of the round's shops can add up to it: a shop's masks were not its own")
        if weight == 0:
            return Sum(weight, num_examples, None)
        mean = total[HEAD:].astype(np.float64) / weight * (2 * self.clipping_range / self._steps)
        return Sum(weight, num_examples, mean - self.clipping_range)

    def pack(self, numbers: Words) -> NDArray[np.uint8]:
        """Modulo the modulus, as they travel: (n modulus_bytes,)."""
        whole = np.ascontiguousarray(numbers, "<u8").view(np.uint8).reshape(-1, 8)
        return np.ascontiguousarray(whole[:, : self.modulus_bytes]).reshape(-1)

    def unpack(self, packed: NDArray[np.uint8]) -> Words:
        """The numbers of `pack`."""
        whole = np.zeros((len(packed) // self.modulus_bytes, 8), np.uint8)
        whole[:, : self.modulus_bytes] = packed.reshape(-1, self.modulus_bytes)
        return whole.view("<u8").reshape(-1).astype(np.uint64, copy=False)

    def reduced(self, numbers: Words) -> Words:
        """Modulo the modulus."""
        return numbers & np.uint64((1 << (8 * self.modulus_bytes)) - 1)
