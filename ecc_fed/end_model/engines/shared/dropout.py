"""LoRA dropout with a stream for each shop.

Each shop draws its masks from its own generator, in the order of its own forward passes and over
its own rows, so that its masks are the same alone and in any batch. As in peft, every projection
has a mask of its own. On a GPU the bits are drawn there, so a GPU's masks are not a CPU's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.training.jobs import dropout_seed


class Dropout:
    """The shops' mask streams; `select` names the shops, in order, whose rows come next.

    Args:
        probability: of an element to be dropped; held to 1 in 131,072 (16 random bits for each element).
        seeds: every shop's job seed.
        device: where the masks are wanted.
        on_device: draw by torch on `device` rather than by numpy; None takes the device's plan.
    """

    def __init__(
        self, probability: float, seeds: Sequence[int], device: torch.device, on_device: bool | None = None
    ) -> None:
        self.threshold = round(probability * 65536)
        self.keep_scale = 1.0 / (1.0 - self.threshold / 65536)
        self.device = device
        self.on_device = plan_for(device).masks_on_device if on_device is None else on_device
        self.selected: Sequence[int] = range(len(seeds))
        seeds = [dropout_seed(seed) for seed in seeds]
        if self.on_device:
            self.device_streams = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        else:
            self.streams = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]

    def select(self, shops: Sequence[int]) -> None:
        """The shops whose groups the next forward pass holds."""
        self.selected = shops

    def masks(self, sizes: Sequence[int], d_in: int, projections: int) -> list[Tensor]:
        """For every projection an int8 mask (sum of sizes, d_in) of 0 and 1, to be scaled by `keep_scale`."""
        masks = torch.empty((projections, sum(sizes), d_in), dtype=torch.int8, device=self.device)
        start = 0
        for shop, size in zip(self.selected, sizes, strict=True):
            part = masks[:, start : start + size]
            if self.on_device:
                stream = self.device_streams[shop]
                bits = torch.randint(0, 65536, part.shape, dtype=torch.int32, device=self.device, generator=stream)
                part.copy_(bits >= self.threshold)
            else:
                words = self.streams[shop].integers(0, 2**64, -(-part.numel() // 4), dtype=np.uint64)
                half_words = words.view(np.uint16)[: part.numel()].reshape(part.shape)
                np.greater_equal(half_words, self.threshold, out=part.numpy(), casting="unsafe")
            start += size
        return list(masks.unbind(0))
