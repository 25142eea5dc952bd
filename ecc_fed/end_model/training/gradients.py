"""A gradient rule at work on one job: what every engine does alike, whichever rule it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.records import Array, FineTuneJob
from ecc_fed.core.seeding import derive_rng

Item = TypeVar("Item")


class JobGradients:
    """One job's batches and noise, step after step.

    Args:
        job: the job.
        shapes: its adapter's tensors, in the adapter's order.
    """

    def __init__(self, job: FineTuneJob, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.rule: GradientRule = job.rule
        self._sizes = len(job.examples), job.settings.batch_size
        self._batches = self.rule.batches(*self._sizes, job.seed)
        self._shapes = shapes
        self._noise = derive_rng(job.seed, "gaussian_noise")

    def next_batch(self, examples: Sequence[Item]) -> list[Item]:
        """The next step's examples."""
        return [examples[index] for index in next(self._batches)]

    def groups(self, batch: Sequence[Item]) -> list[Sequence[Item]]:
        """The parts of a batch whose gradients are wanted each by itself."""
        return [[example] for example in batch] if self.rule.per_example else [batch]

    @property
    def divisor(self) -> float:
        """What the sums over a step's groups are divided by."""
        return self.rule.divisor(*self._sizes)

    def noise(self) -> dict[str, Array] | None:
        """The next step's noise, tensor by tensor; None under a rule that has none."""
        deviation = self.rule.noise_deviation
        if not deviation:
            return None
        return {
            name: (self._noise.standard_normal(shape) * deviation).astype(np.float32)
            for name, shape in self._shapes.items()
        }


def weighted_sum(rule: GradientRule, gradients: Tensor) -> Tensor:
    """sum_r factor(||g_r||) g_r of gradients (groups, size): (size,); zero where there is no group."""
    total: Tensor = rule.factors(torch.linalg.vector_norm(gradients, dim=1)) @ gradients
    return total
