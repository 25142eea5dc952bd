"""Record-level DP-SGD as a gradient rule (Abadi et al. 2016, Alg. 1); one example is one record.

With g_i the gradient of example i's own mean loss, over the examples that a step draws:
g = (sum_i g_i min(1, C / ||g_i||) + sigma C z) / (q n), z ~ N(0, I).

| symbol | argument | range | source |
|---|---|---|---|
| C | `clipping_norm` | > 0 | Alg. 1 |
| sigma | `noise_multiplier` | >= 0 | Alg. 1 |
| q | `sampling_rate(n, batch_size)` | (0, 1] | Alg. 1, L / N |

Sampling and noise come from the job's seed, so that runs repeat. Whoever knows the seed can take
the noise away again: a deployment must seed from the system's entropy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecc_fed.core.ranges import require
from ecc_fed.core.seeding import derive_rng

if TYPE_CHECKING:  # whoever plans a run describes its rule without torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class RecordPrivacy:
    """Each of n examples takes part in a step by itself with probability q = min(1, batch_size / n).

    The accountant assumes this Poisson sampling. A step that draws nobody still adds its noise.

    Raises:
        ConfigError: a value out of range.
    """

    clipping_norm: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        require(self.clipping_norm > 0, "privacy.clipping_norm", self.clipping_norm, "above 0")
        require(self.noise_multiplier >= 0, "privacy.noise_multiplier", self.noise_multiplier, "0 or more")

    @property
    def per_example(self) -> bool:
        """Each record's gradient is bounded by itself."""
        return True

    @property
    def noise_deviation(self) -> float:
        """sigma C."""
        return self.noise_multiplier * self.clipping_norm

    def batches(self, num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
        """Poisson draws."""
        return poisson_batches(num_examples, batch_size, seed)

    def factors(self, norms: Tensor) -> Tensor:
        """min(1, C / norm), an exact bound: no example may exceed it by rounding alone, nor be divided by zero."""
        return self.clipping_norm / norms.clamp(min=self.clipping_norm)

    def divisor(self, num_examples: int, batch_size: int) -> float:
        """q n, the number of examples that a step draws in the mean."""
        return sampling_rate(num_examples, batch_size) * num_examples


def sampling_rate(num_examples: int, batch_size: int) -> float:
    """The probability of every example to take part in a step."""
    return min(1.0, batch_size / num_examples)


def poisson_batches(num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of example indices, each example drawn by itself; a batch may be empty."""
    generator = derive_rng(seed, "poisson_batches")
    rate = sampling_rate(num_examples, batch_size)
    while True:
        yield np.flatnonzero(generator.random(num_examples) < rate).tolist()
