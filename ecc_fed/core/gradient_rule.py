"""How a job's examples become the gradient of an optimizer step, apart from any engine.

Every rule is of one form, which an engine computes in whatever way suits it:

    g = (sum_r factor(||g_r||) g_r + noise_deviation z) / divisor,   z ~ N(0, I)

| symbol | is | by |
|---|---|---|
| r | the step's whole batch, or each of its examples by itself | `per_example` |
| g_r | the gradient of r's mean loss over its label tokens | the engine |
| factor | what a gradient counts for, by its L2 norm | `factors` |
| divisor | what the sum is divided by, and so the step's loss | `divisor` |

A rule of a user's own is a class with these members.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ecc_fed.core.ranges import require
from ecc_fed.core.seeding import derive_rng


class GradientRule(Protocol):
    """A rule's choices: pure, and the same for every step of a job."""

    @property
    def per_example(self) -> bool:
        """Whether every example's gradient is wanted by itself; else the batch's alone."""
        ...

    @property
    def noise_deviation(self) -> float:
        """Standard deviation of the noise in every coordinate of the sum; 0 draws none."""
        ...

    def batches(self, num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
        """Endless batches of example indices, one for every step; a batch may be empty if `per_example`."""
        ...

    def factors(self, norms: Any) -> Any:
        """What each gradient is multiplied by: a torch tensor of norms (gradients,) -> (gradients,)."""
        ...

    def divisor(self, num_examples: int, batch_size: int) -> float:
        """What sums over a step's gradients, and over their losses, are divided by."""
        ...


@dataclass(frozen=True, slots=True)
class ClippedGradient:
    """Plain training: one gradient for the whole batch, shortened to `clipping_norm` where it is longer.

    factor = min(1, C / (||g|| + 1e-6)), as in torch's `clip_grad_norm_`.

    Raises:
        ConfigError: the bound is not above 0.
    """

    clipping_norm: float = 1.0

    def __post_init__(self) -> None:
        require(self.clipping_norm > 0, "finetune.clipping_norm", self.clipping_norm, "above 0")

    @property
    def per_example(self) -> bool:
        """The batch's gradient is enough."""
        return False

    @property
    def noise_deviation(self) -> float:
        """No noise."""
        return 0.0

    def batches(self, num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
        """Epoch after epoch."""
        return epoch_batches(num_examples, batch_size, seed)

    def factors(self, norms: Any) -> Any:
        """1 up to the bound."""
        return (self.clipping_norm / (norms + 1e-6)).clamp(max=1.0)

    def divisor(self, num_examples: int, batch_size: int) -> float:
        """The loss is the batch's mean already."""
        return 1.0


def epoch_batches(num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of example indices: epoch after epoch, each a new permutation from `seed`.

    The last batch of an epoch may be smaller.
    """
    generator = derive_rng(seed, "batches")
    while True:
        order = generator.permutation(num_examples).tolist()
        for start in range(0, num_examples, batch_size):
            yield order[start : start + batch_size]
