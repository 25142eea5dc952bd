"""DP-SGD's parts that both engines share: Poisson sampling, per-example clipping, noise.

Abadi et al. 2016, Alg. 1, with g_i the gradient of example i's own mean loss:
g = (sum_i g_i min(1, C / ||g_i||) + sigma C z) / (q n), z ~ N(0, I).

| symbol | argument | range | source |
|---|---|---|---|
| C | `privacy.clipping_norm` | > 0 | Alg. 1 |
| sigma | `privacy.noise_multiplier` | >= 0 | Alg. 1 |
| q | `sampling_rate(n, batch_size)` | (0, 1] | Alg. 1, L / N |

Sampling and noise come from the job's seed, so that runs repeat. Whoever knows the seed can take
the noise away again: a deployment must seed from the system's entropy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.records import Array, RecordPrivacy
from ecc_fed.core.seeding import derive_rng


def sampling_rate(num_examples: int, batch_size: int) -> float:
    """The probability of every example to take part in a step."""
    return min(1.0, batch_size / num_examples)


def expected_batch(num_examples: int, batch_size: int) -> float:
    """q n, the number of examples that a step draws in the mean."""
    return sampling_rate(num_examples, batch_size) * num_examples


def poisson_batches(num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of example indices, each example drawn by itself; a batch may be empty."""
    generator = derive_rng(seed, "poisson_batches")
    rate = sampling_rate(num_examples, batch_size)
    while True:
        yield np.flatnonzero(generator.random(num_examples) < rate).tolist()


def clipped_sum(gradients: Tensor, clipping_norm: float) -> Tensor:
    """Sum over examples (examples, size) of their gradients, each shortened to at most `clipping_norm`: (size,)."""
    norms = torch.linalg.vector_norm(gradients, dim=1)
    # An exact bound: no example may exceed it by rounding alone, nor be divided by zero.
    factors = clipping_norm / norms.clamp(min=clipping_norm)
    total: Tensor = factors @ gradients
    return total


class GaussianNoise:
    """A job's noise: for every step fresh normal numbers for every tensor, times sigma C."""

    def __init__(self, privacy: RecordPrivacy, shapes: Mapping[str, tuple[int, ...]], seed: int) -> None:
        self.deviation = privacy.noise_multiplier * privacy.clipping_norm
        self.shapes = shapes
        self.generator = derive_rng(seed, "gaussian_noise")

    def draw(self) -> dict[str, Array]:
        """The next step's noise, tensor by tensor in the adapter's order."""
        return {
            name: (self.generator.standard_normal(shape) * self.deviation).astype(np.float32)
            for name, shape in self.shapes.items()
        }
