"""Rotary embedding (Su et al. 2021) and causal attention of every packed sequence by itself.

`attend_packed` goes bucket by bucket, `attend_at_once` takes all sequences in one launch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.packing import Bucket, Packed
from ecc_fed.end_model.engines.shared.rotary import rotate as rotate

Angles = tuple[Tensor, Tensor]
# Receives every bucket's keys and values.
Sink = Callable[[Bucket, Tensor, Tensor], None]


def _attend(base: PackedBase, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """Causal attention of (S, L, heads, head_dim), q with more heads than k and v, at most `window` tokens back."""
    dtype = q.dtype
    fast = base.plan.attention_in_product_dtype and base.dtype != torch.float64
    product = base.head.dtype if fast else dtype
    q, k, v = (part.to(product).transpose(1, 2) for part in (q, k, v))
    seen = None if window is None or q.shape[2] <= window else _window(q.shape[2], window, q.device)
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, seen, is_causal=seen is None, scale=base.score_scale, enable_gqa=base.heads != base.kv_heads
    )
    return out.transpose(1, 2).to(dtype)


def _window(length: int, window: int, device: torch.device) -> Tensor:
    """Which keys every query sees (length, length): itself and the `window` - 1 before it."""
    every = torch.ones(length, length, dtype=torch.bool, device=device)
    return every.tril_().triu_(1 - window)


class _Given(torch.autograd.Function):
    """A number whose gradient is given: asked with one, `autograd.grad` would import sympy, half a second long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return x.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, None]:
        return ctx.gradient, None


class _Attention(torch.autograd.Function):
    """Rotary embedding and causal attention of every packed sequence by itself. Rotates `qkv` in place."""

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        base: PackedBase,
        angles: Angles | None,
        buckets: list[Bucket],
        sink: Any,
        train: bool,
        window: int | None,
    ) -> Tensor:
        heads, rotated = base.heads, base.heads + base.kv_heads
        # Nobody keeps `qkv` for a backward pass, nor needs it again.
        qkv = qkv.detach().view(len(qkv), rotated + base.kv_heads, base.head_dim)
        if angles is not None:
            rotate(qkv[:, :rotated], *angles, base.interleaved)
        out = qkv.new_empty(len(qkv), heads * base.head_dim)
        ctx.base, ctx.angles, ctx.buckets, ctx.kept = base, angles, buckets, []
        for bucket in buckets:
            x = qkv[bucket.gather].view(-1, bucket.length, *qkv.shape[1:])
            q, k, v = x.split_with_sizes([heads, base.kv_heads, base.kv_heads], 2)
            if sink is not None:
                sink(bucket, k, v)
            if train:
                with torch.enable_grad():
                    q, k, v = (part.detach().requires_grad_() for part in (q, k, v))
                    o = _attend(base, q, k, v, window)
                ctx.kept.append(((q, k, v), o))
            else:
                o = _attend(base, q, k, v, window)
            flat = o.detach().reshape(-1, heads * base.head_dim)
            out[bucket.tokens] = flat if bucket.places is None else flat[bucket.places]
        return out

    @staticmethod
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        base, given = ctx.base, cast(Any, _Given.apply)
        rotated = base.heads + base.kv_heads
        dqkv = do.new_empty(len(do), rotated + base.kv_heads, base.head_dim)
        for bucket, (parts, o) in zip(ctx.buckets, ctx.kept, strict=True):
            if bucket.places is None:
                wanted = do[bucket.tokens]
            else:
                # Padded places must bear no gradient.
                wanted = do.new_zeros(o.shape[0] * o.shape[1], do.shape[1])
                wanted[bucket.places] = do[bucket.tokens]
            with torch.enable_grad():
                end = given(o, wanted.view_as(o))
            gradients = torch.autograd.grad(end, parts)
            if isinstance(bucket.tokens, slice):
                torch.cat(gradients, 2, out=dqkv[None, bucket.tokens])
            else:
                flat = torch.cat(gradients, 2).flatten(0, 1)
                dqkv[bucket.tokens] = flat if bucket.places is None else flat[bucket.places]
        if ctx.angles is not None:
            cos, sin = ctx.angles
            rotate(dqkv[:, :rotated], cos, -sin, base.interleaved)
        ctx.kept = []
        return dqkv.flatten(1), *[None] * 6


def attend_packed(
    base: PackedBase,
    qkv: Tensor,
    angles: Angles | None,
    buckets: list[Bucket],
    sink: Sink | None,
    training: bool,
    window: int | None = None,
) -> Tensor:
    """Attention over qkv (N, (heads + 2 kv_heads) head_dim), which it rotates in place: (N, heads head_dim).

    A token sees itself and what came before, or only the last `window` of these. `angles` None: no rotary embedding.
    """
    function: Any = _Attention.apply
    out: Tensor = function(qkv, base, angles, buckets, sink, training, window)
    return out


class _AttentionAtOnce(torch.autograd.Function):
    """Keeps rotated queries, keys and values alone: their attention is cheap to compute again."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, base: PackedBase, angles: Angles, packed: Packed) -> Tensor:
        assert base.varlen is not None
        heads, rotated = base.heads, base.heads + base.kv_heads
        qkv = qkv.detach().view(len(qkv), rotated + base.kv_heads, base.head_dim)
        base.plan.rows.rotate(qkv[:, :rotated], *angles, base.interleaved)
        ctx.base, ctx.angles, ctx.packed = base, angles, packed
        ctx.save_for_backward(qkv)
        q, k, v = qkv.split_with_sizes([heads, base.kv_heads, base.kv_heads], 1)
        return base.varlen(q, k, v, packed.bounds, packed.longest).flatten(1)

    @staticmethod
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        base: PackedBase = ctx.base
        assert base.varlen is not None
        (qkv,) = ctx.saved_tensors
        heads, rotated = base.heads, base.heads + base.kv_heads
        parts = qkv.split_with_sizes([heads, base.kv_heads, base.kv_heads], 1)
        with torch.enable_grad():
            q, k, v = (part.detach().requires_grad_() for part in parts)
            out = base.varlen(q, k, v, ctx.packed.bounds, ctx.packed.longest)
        dqkv = torch.cat(torch.autograd.grad(out, (q, k, v), do.view_as(out)), 1)
        cos, sin = ctx.angles
        base.plan.rows.rotate(dqkv[:, :rotated], cos, -sin, base.interleaved)
        return dqkv.flatten(1), None, None, None


def attend_at_once(base: PackedBase, qkv: Tensor, angles: Angles, packed: Packed) -> Tensor:
    """`attend_packed` in training, by `base.varlen`: one launch for all sequences, nothing padded."""
    function: Any = _AttentionAtOnce.apply
    out: Tensor = function(qkv, base, angles, packed)
    return out
