"""Rotary embedding (Su et al. 2021) and causal attention of every packed sequence by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.packing import Bucket

Angles = tuple[Tensor, Tensor]
# Receives every bucket's keys and values.
Sink = Callable[[Bucket, Tensor, Tensor], None]


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> None:
    """Rotary embedding (Su et al. 2021) in place over the first dims of x (..., heads, head_dim).

    cos, sin broadcast to (..., 1, dims / 2); the backward pass is the same with -sin.
    """
    half = cos.shape[-1]
    if interleaved:
        first, second = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
    else:
        first, second = x[..., :half], x[..., half : 2 * half]
    turned = (first * cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).addcmul_(first, sin)
    first.copy_(turned)


def _attend(base: PackedBase, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """Causal attention of (S, L, heads, head_dim), q with more heads than k and v, at most `window` tokens back."""
    fast = plan_for(q.device).attention_in_product_dtype and base.dtype != torch.float64
    product = base.head.dtype if fast else q.dtype
    q, k, v = (part.to(product).transpose(1, 2) for part in (q, k, v))
    seen = None if window is None or q.shape[2] <= window else _window(q.shape[2], window, q.device)
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, seen, is_causal=seen is None, scale=base.score_scale, enable_gqa=base.heads != base.kv_heads
    )
    return out.transpose(1, 2).to(base.dtype)


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
