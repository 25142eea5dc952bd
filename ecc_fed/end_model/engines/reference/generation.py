"""Batched generation with any transformers causal LM: left-padded rows and a key-value cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from ecc_fed.end_model.engines.replies import Drawn, EndMarks, draw_replies
from ecc_fed.end_model.engines.sampling import Row


@torch.inference_mode()
def generate(
    model: Any, rows: Sequence[Row], marks: EndMarks, device: torch.device, prefixed: bool = False
) -> list[Drawn]:
    """What every row draws; `prefixed` where peft's model holds a prefix."""
    return draw_replies(_PaddedBatch(model, [row.prompt for row in rows], device, prefixed), rows, marks, device)


class _PaddedBatch:
    """Left-padded prompts; pads are masked and take no position. A prefix opens the cache of every row."""

    def __init__(self, model: Any, prompts: Sequence[list[int]], device: torch.device, prefixed: bool) -> None:
        base = model.get_base_model()
        self.wants_positions = "position_ids" in inspect.signature(base.forward).parameters
        # peft's own forward would put the prefix anew in place of the cache at every token.
        self.model = base if prefixed else model
        self.cache = model.get_prompt(len(prompts)) if prefixed else DynamicCache(config=model.config)
        virtual = self.cache.get_seq_length()
        longest = max(len(prompt) for prompt in prompts)
        # Any valid id pads: the mask hides it.
        self.ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
        mask = [[1] * virtual + [0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self.mask = torch.tensor(mask, device=device)

    def first(self) -> Tensor:
        return self._forward(self.ids)

    def next(self, tokens: Tensor) -> Tensor:
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], -1)
        return self._forward(tokens[:, None])

    def keep(self, index: Tensor) -> None:
        self.mask = self.mask[index]
        self.cache.batch_select_indices(index)

    def _forward(self, ids: Tensor) -> Tensor:
        arguments: dict[str, Any] = {}
        if self.wants_positions:
            positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
            arguments["position_ids"] = positions[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **arguments
        )
        logits: Tensor = output.logits[:, -1]
        return logits
