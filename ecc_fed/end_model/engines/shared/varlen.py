"""Causal attention of all packed sequences in one launch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# q (N, heads, head_dim), k and v (N, kv heads, head_dim), the sequences' bounds (S + 1,) int32, the longest's length.
Varlen = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def varlen_plain(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """(N, heads, head_dim), sequence by sequence: what the launch is held against."""
    sizes = bounds.diff().tolist()
    outputs = []
    for parts in zip(*(each.split_with_sizes(sizes) for each in (q, k, v)), strict=True):
        own_q, own_k, own_v = (part.transpose(0, 1)[None] for part in parts)
        out = torch.nn.functional.scaled_dot_product_attention(
            own_q, own_k, own_v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
        )
        outputs.append(out[0].transpose(0, 1))
    return torch.cat(outputs)


def varlen_on_card() -> Varlen | None:
    """torch's own; None: this release has none, and attention goes bucket by bucket."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    function: Any = varlen_attn
    return adapted(function, frozenset(inspect.signature(function).parameters))


def adapted(function: Callable[..., Any], parameters: frozenset[str]) -> Varlen:
    """torch's function by the arguments that its releases have.

    Up to torch 2.10 it is causal by `is_causal`, from 2.11 on by its window; heads that share keys are an option from
    2.12 on, and keys are repeated for them before.
    """
    causal: dict[str, Any] = {"is_causal": True} if "is_causal" in parameters else {"window_size": (-1, 0)}
    shares = "enable_gqa" in parameters

    def attend(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
        options = dict(causal)
        if q.shape[1] != k.shape[1]:
            if shares:
                options["enable_gqa"] = True
            else:
                k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], 1) for each in (k, v))
        q, k, v = (each.contiguous() for each in (q, k, v))
        out: Tensor = function(q, k, v, bounds, bounds, longest, longest, **options)
        return out

    return attend
