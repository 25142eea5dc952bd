"""Batched generation with any transformers causal LM: left-padded rows and a key-value cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from ecc_fed.end_model.sampling import Picker, Row


@torch.inference_mode()
def generate(model: Any, rows: Sequence[Row], end_ids: frozenset[int], device: torch.device) -> list[list[int]]:
    """The new token ids of every row, without the end mark.

    Finished rows leave the batch once half of it is done.
    """
    ids, mask = _left_pad([row.prompt for row in rows], device)
    wants_positions = "position_ids" in inspect.signature(model.get_base_model().forward).parameters
    picker = Picker(rows, device)
    cache = DynamicCache(config=model.config)
    replies: list[list[int]] = [[] for _ in rows]
    alive = list(range(len(rows)))  # Row of the request for every row of the batch.
    done = [False] * len(rows)
    for step in range(max(row.decoding.max_new_tokens for row in rows)):
        arguments: dict[str, Any] = {}
        if wants_positions:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            arguments["position_ids"] = positions[:, -ids.shape[1] :]
        logits = model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1, **arguments
        ).logits[:, -1]
        ids = picker.pick(logits, step)[:, None]
        for row, token in zip(alive, ids[:, 0].tolist(), strict=True):
            if done[row]:
                continue
            if token in end_ids:
                done[row] = True
            else:
                replies[row].append(token)
                done[row] = len(replies[row]) == rows[row].decoding.max_new_tokens
        left = [position for position, row in enumerate(alive) if not done[row]]
        if not left:
            break
        if len(left) * 2 <= len(alive):
            index = torch.tensor(left, device=device)
            alive = [alive[position] for position in left]
            ids, mask = ids[index], mask[index]
            cache.batch_select_indices(index)
            picker.keep(index)
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], -1)
    return replies


def _left_pad(prompts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    # Any valid id pads: the mask hides it.
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask
