"""Sampling in which every row of a batch has a generator of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


class SeededDraw(LogitsProcessor):
    """Leaves of each row's scores the one token that its generator drew, so that greedy search takes it.

    The draw is from softmax(scores / temperature), cut to the fewest tokens whose probabilities sum
    up to `top_p` or more (nucleus sampling, Holtzman et al. 2020).
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature
        self._top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) with one finite value in each row."""
        # On the CPU, so that a seed draws the same on every device.
        probabilities = (scores.float().cpu() / self._temperature).softmax(-1)
        ordered, order = probabilities.sort(stable=True, dim=-1, descending=True)
        # Token k stays while the tokens before it sum up to less than top_p.
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= self._top_p, 0.0)
        only = torch.full_like(scores, float("-inf"))
        for row, generator in enumerate(self._generators):
            place = torch.multinomial(ordered[row], 1, generator=generator)
            only[row, int(order[row, place])] = 0.0
        return only
