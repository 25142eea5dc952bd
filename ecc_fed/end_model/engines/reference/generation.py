"""Generation with any transformers causal LM: a batch with a key-value cache where the model can do that.

Not every architecture can: some take no padding on the left, some keep a cache of their own kind or none. Each way is
tried when a base is opened (`trial`), against the model's plain answer to a whole text.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from ecc_fed.end_model.engines.replies import Drawn, EndMarks, Stepper, draw_replies
from ecc_fed.end_model.engines.sampling import Row

# From the fastest on: rows padded to one length; row by row; row by row, each token from the whole text before it.
Way = Literal["batched", "one by one", "anew"]


@torch.inference_mode()
def generate(
    model: Any,
    rows: Sequence[Row],
    marks: EndMarks,
    device: torch.device,
    prefixed: bool = False,
    way: Way = "batched",
) -> list[Drawn]:
    """What every row draws; `prefixed` where peft's model holds a prefix."""
    stepper = stepper_of(way, model, [row.prompt for row in rows], device, prefixed)
    return draw_replies(stepper, rows, marks, device)


def stepper_of(
    way: Way, model: Any, prompts: Sequence[list[int]], device: torch.device, prefixed: bool = False
) -> Stepper:
    """Prompts on their way through the model."""
    if way == "batched":
        return _PaddedBatch(model, prompts, device, prefixed)
    if way == "one by one":
        return _OneByOne([_PaddedBatch(model, [prompt], device, prefixed) for prompt in prompts])
    return _Anew(model, prompts, device)


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


class _OneByOne:
    """Rows that share no pass, and so need no padding."""

    def __init__(self, rows: list[_PaddedBatch]) -> None:
        self._rows = rows

    def first(self) -> Tensor:
        return torch.cat([row.first() for row in self._rows])

    def next(self, tokens: Tensor) -> Tensor:
        return torch.cat([row.next(tokens[place : place + 1]) for place, row in enumerate(self._rows)])

    def keep(self, index: Tensor) -> None:
        self._rows = [self._rows[place] for place in index.tolist()]


class _Anew:
    """Rows whose whole text is read again for every token."""

    def __init__(self, model: Any, prompts: Sequence[list[int]], device: torch.device) -> None:
        self._model, self._device = model, device
        self._texts = [list(prompt) for prompt in prompts]

    def first(self) -> Tensor:
        return torch.stack([plain_logits(self._model, text, self._device)[-1] for text in self._texts])

    def next(self, tokens: Tensor) -> Tensor:
        for text, token in zip(self._texts, tokens.tolist(), strict=True):
            text.append(token)
        return self.first()

    def keep(self, index: Tensor) -> None:
        self._texts = [self._texts[place] for place in index.tolist()]


def plain_logits(model: Any, ids: Sequence[int], device: torch.device) -> Tensor:
    """Logits (tokens, vocabulary) behind every token of one text, without padding or cache."""
    logits: Tensor = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0]
    return logits
