"""Drawing tokens, the same way for every engine.

A prompt's random numbers are drawn before it starts, from its own stream; a token is then picked
by inverting the cumulative probability of the nucleus (Holtzman et al. 2020: the fewest tokens
that hold `top_p` of the mass). So a reply depends on its prompt, adapter and seed, and on nobody
else in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ecc_fed.core.records import Decoding
from ecc_fed.core.seeding import derive_rng

# The nucleus of a trained model nearly always lies within so many tokens; wider ones are sorted in full.
_SHORTLIST = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One reply to generate: prompt ids, decoding, and a uniform number in [0, 1) for every new token."""

    prompt: list[int]
    decoding: Decoding
    uniforms: npt.NDArray[np.float64]

    @property
    def total_tokens(self) -> int:
        """Prompt and the longest reply."""
        return len(self.prompt) + self.decoding.max_new_tokens


def make_rows(prompts: Sequence[list[int]], decoding: Decoding, seed: int) -> list[Row]:
    """One row for each prompt; row i draws from the stream (`seed`, i)."""
    return [
        Row(prompt, decoding, derive_rng(seed, "reply", index).random(decoding.max_new_tokens))
        for index, prompt in enumerate(prompts)
    ]


class Picker:
    """Picks the next token of every row of one batch."""

    def __init__(self, rows: Sequence[Row], device: torch.device) -> None:
        longest = max(row.decoding.max_new_tokens for row in rows)
        uniforms = np.zeros((len(rows), longest), np.float32)
        for index, row in enumerate(rows):
            # Rounding to fp32 must not reach 1.
            uniforms[index, : len(row.uniforms)] = np.minimum(row.uniforms, 1 - 2**-24)
        self.uniforms = torch.from_numpy(uniforms).to(device)
        # Greedy rows take any valid numbers; their draw is not used.
        self.sample = torch.tensor([row.decoding.sample for row in rows], device=device)
        self.any_sample = any(row.decoding.sample for row in rows)
        top_p = [row.decoding.top_p if row.decoding.sample else 1.0 for row in rows]
        temperature = [row.decoding.temperature if row.decoding.sample else 1.0 for row in rows]
        self.top_p = torch.tensor(top_p, dtype=torch.float32, device=device)
        self.temperature = torch.tensor(temperature, dtype=torch.float32, device=device)

    def pick(self, logits: Tensor, step: int) -> Tensor:
        """Token ids (rows,) for logits (rows, vocabulary) of new token number `step` (from 0)."""
        greedy = logits.argmax(-1)
        if not self.any_sample:
            return greedy
        drawn = nucleus_sample(logits.float(), self.temperature, self.top_p, self.uniforms[:, step])
        return torch.where(self.sample, drawn, greedy)

    def keep(self, index: Tensor) -> None:
        """Goes on with these rows only."""
        self.uniforms, self.sample = self.uniforms[index], self.sample[index]
        self.top_p, self.temperature = self.top_p[index], self.temperature[index]


def nucleus_sample(logits: Tensor, temperature: Tensor, top_p: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse-CDF draws from the top-p nucleus: logits (rows, vocabulary), the rest (rows,) -> ids (rows,)."""
    probabilities = torch.softmax(logits / temperature[:, None], -1)
    values, ids = probabilities.topk(min(_SHORTLIST, logits.shape[-1]), -1)
    chosen = ids.gather(-1, _invert(values, top_p, uniforms))
    wide = (values.sum(-1) < top_p).nonzero()[:, 0]
    if len(wide) and values.shape[-1] < logits.shape[-1]:
        values, ids = probabilities[wide].sort(-1, descending=True)
        chosen[wide] = ids.gather(-1, _invert(values, top_p[wide], uniforms[wide]))
    return chosen[:, 0]


def _invert(values: Tensor, top_p: Tensor, uniforms: Tensor) -> Tensor:
    """Positions (rows, 1) in descending `values` (rows, n): the first where the nucleus' CDF passes the draw."""
    cumulative = values.cumsum(-1)
    # A token belongs to the nucleus if the mass before it is still below top_p; the first always does.
    size = ((cumulative - values) < top_p[:, None]).sum(-1, keepdim=True).clamp(min=1)
    mass = cumulative.gather(-1, size - 1)
    position = (cumulative <= uniforms[:, None] * mass).sum(-1, keepdim=True)
    return position.minimum(size - 1)
