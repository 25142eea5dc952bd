"""LoRA dropout with a stream a shop.

Each shop draws its masks from its own generator, in the order of its own forward passes and over
its own rows, so that its masks are the same alone and in any cohort. As in peft, every projection
has a mask of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecc_fed.end_model.finetune import dropout_seed


class Dropout:
    """The shops' mask streams; `select` names the shops, in order, whose rows come next."""

    def __init__(self, probability: float, seeds: Sequence[int], device: torch.device) -> None:
        # 16 random bits an element: the probability holds to 1 in 131,072.
        self.threshold = round(probability * 65536)
        self.keep_scale = 1.0 / (1.0 - self.threshold / 65536)
        self.device = device
        self.streams = [np.random.Generator(np.random.SFC64(dropout_seed(seed))) for seed in seeds]
        self.selected: Sequence[int] = range(len(seeds))

    def select(self, shops: Sequence[int]) -> None:
        """The shops whose groups the next forward pass holds."""
        self.selected = shops

    def masks(self, sizes: Sequence[int], d_in: int, projections: int) -> list[Tensor]:
        """For every projection an int8 mask (sum of sizes, d_in) of 0 and 1, to be scaled by `keep_scale`."""
        total = sum(sizes)
        masks = np.empty((projections, total, d_in), np.int8)
        start = 0
        for shop, size in zip(self.selected, sizes, strict=True):
            count = projections * size * d_in
            words = self.streams[shop].integers(0, 2**64, -(-count // 4), dtype=np.uint64)
            bits = words.view(np.uint16)[:count].reshape(projections, size, d_in)
            np.greater_equal(bits, self.threshold, out=masks[:, start : start + size], casting="unsafe")
            start += size
        return list(torch.from_numpy(masks).to(self.device).unbind(0))
