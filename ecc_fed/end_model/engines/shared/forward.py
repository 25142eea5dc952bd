"""A packed batch, without padding, and its way through a frozen decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.layers import (
    ActiveAdapters,
    apply_stack,
    rms_norm,
    stack_adapters,
    swiglu,
    take_rows,
)
from ecc_fed.end_model.engines.shared.packed_base import PackedBase

# Sequences of a bucket differ in length by at most this factor: padding against kernel launches.
_BUCKET_RATIO = {"cpu": 1.15, "cuda": 2.0}


@dataclass(slots=True)
class Bucket:
    """Sequences of similar length, for one attention kernel."""

    sequences: Tensor  # which sequences of the batch (S,)
    length: int
    gather: Tensor | slice  # (S * length,): the packed row behind every place; pads point at their sequence's first
    places: Tensor | None  # the places that are real, in order; None if all are
    tokens: Tensor | slice  # the packed rows behind the real places


@dataclass(slots=True)
class Packed:
    """Sequences one after the other, split into adapter groups; `wanted` are the rows whose outputs count."""

    ids: Tensor  # (N,)
    positions: Tensor  # (N,), from 0 in every sequence
    buckets: list[Bucket]
    longest: int
    groups: Groups
    wanted: Tensor  # (W,) ascending
    wanted_groups: Groups


def pack(
    sequences: Sequence[Sequence[int]],
    wanted: Sequence[Sequence[int]],
    group_sizes: Sequence[int],
    rows: Sequence[int],
    device: torch.device,
) -> Packed:
    """Packs sequences.

    Args:
        sequences: token ids of each.
        wanted: the positions of each whose outputs are wanted, at least one.
        group_sizes: how many successive sequences each adapter group has.
        rows: each group's bank row.
    """
    lengths = [len(sequence) for sequence in sequences]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = torch.from_numpy(np.concatenate([np.asarray(s, np.int64) for s in sequences])).to(device)
    rows_wanted = np.concatenate([start + np.asarray(w, np.int64) for start, w in zip(starts, wanted, strict=False)])
    token_sizes, wanted_sizes, first = [], [], 0
    for size in group_sizes:
        token_sizes.append(sum(lengths[first : first + size]))
        wanted_sizes.append(sum(len(w) for w in wanted[first : first + size]))
        first += size
    return Packed(
        ids,
        torch.from_numpy(np.concatenate([np.arange(length) for length in lengths])).to(device),
        _buckets(lengths, starts, device),
        max(lengths),
        Groups(rows, token_sizes, device),
        torch.from_numpy(rows_wanted).to(device),
        Groups(rows, wanted_sizes, device),
    )


def _buckets(lengths: Sequence[int], starts: Any, device: torch.device) -> list[Bucket]:
    ratio = _BUCKET_RATIO[device.type]
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    runs: list[list[int]] = []
    for index in order:
        if runs and lengths[index] <= max(lengths[runs[-1][0]] * ratio, lengths[runs[-1][0]] + 4):
            runs[-1].append(index)
        else:
            runs.append([index])
    buckets = []
    for run in runs:
        length = lengths[run[-1]]
        if len(run) == 1:
            whole = slice(int(starts[run[0]]), int(starts[run[0]]) + length)
            buckets.append(Bucket(torch.tensor(run, device=device), length, whole, None, whole))
            continue
        own = np.array([lengths[index] for index in run])
        begin = np.array([starts[index] for index in run])
        places = np.arange(length)[None]
        real = places < own[:, None]
        gather = begin[:, None] + np.where(real, places, 0)
        tokens = torch.from_numpy(gather[real]).to(device)
        full = bool(real.all())
        flat = torch.from_numpy(np.flatnonzero(real)).to(device)
        buckets.append(
            Bucket(
                torch.tensor(run, device=device),
                length,
                tokens if full else torch.from_numpy(gather.reshape(-1)).to(device),
                None if full else flat,
                tokens,
            )
        )
    return buckets


Sink = Callable[[int, Bucket, Tensor, Tensor], None]


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


def _attend(base: PackedBase, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of (S, L, heads, head_dim), q with more heads than k and v."""
    product = base.head.dtype if q.device.type == "cuda" and base.dtype != torch.float64 else q.dtype
    q, k, v = (part.to(product).transpose(1, 2) for part in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=base.heads != base.kv_heads
    )
    return out.transpose(1, 2).to(base.dtype)


Angles = tuple[Tensor, Tensor]


class _Attention(torch.autograd.Function):
    """Rotary embedding and causal attention of every packed sequence by itself. Rotates `qkv` in place."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, base: PackedBase, angles: Angles, buckets: list[Bucket], sink: Any, train: bool
    ) -> Tensor:
        heads, rotated = base.heads, base.heads + base.kv_heads
        # Nobody keeps `qkv` for a backward pass, nor needs it again.
        qkv = qkv.detach().view(len(qkv), rotated + base.kv_heads, base.head_dim)
        rotate(qkv[:, :rotated], *angles, base.interleaved)
        out = qkv.new_empty(len(qkv), heads * base.head_dim)
        ctx.base, ctx.angles, ctx.buckets, ctx.kept = base, angles, buckets, []
        for bucket in buckets:
            x = qkv[bucket.gather].view(-1, bucket.length, *qkv.shape[1:])
            parts = x.split_with_sizes([heads, base.kv_heads, base.kv_heads], 2)
            if sink is not None:
                sink(bucket, *parts[1:])
            if train:
                with torch.enable_grad():
                    parts = tuple(part.detach().requires_grad_() for part in parts)
                    o = _attend(base, *parts)
                ctx.kept.append((parts, o))
            else:
                o = _attend(base, *parts)
            flat = o.detach().reshape(-1, heads * base.head_dim)
            out[bucket.tokens] = flat if bucket.places is None else flat[bucket.places]
        return out

    @staticmethod
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        base: PackedBase = ctx.base
        rotated = base.heads + base.kv_heads
        dqkv = do.new_empty(len(do), rotated + base.kv_heads, base.head_dim)
        for bucket, (parts, o) in zip(ctx.buckets, ctx.kept, strict=True):
            if bucket.places is None:
                wanted = do[bucket.tokens]
            else:
                # Padded places must bear no gradient.
                wanted = do.new_zeros(o.shape[0] * o.shape[1], do.shape[1])
                wanted[bucket.places] = do[bucket.tokens]
            gradients = torch.autograd.grad(o, parts, wanted.view_as(o))
            if isinstance(bucket.tokens, slice):
                torch.cat(gradients, 2, out=dqkv[None, bucket.tokens])
            else:
                flat = torch.cat(gradients, 2).flatten(0, 1)
                dqkv[bucket.tokens] = flat if bucket.places is None else flat[bucket.places]
        cos, sin = ctx.angles
        rotate(dqkv[:, :rotated], cos, -sin, base.interleaved)
        ctx.kept = []
        return dqkv.flatten(1), None, None, None, None, None


def run_layers(
    base: PackedBase,
    x: Tensor,
    adapters: ActiveAdapters | None,
    groups: Groups,
    attend: Callable[[int, Tensor], Tensor],
    narrow: tuple[Tensor, Groups] | None = None,
    training: bool = False,
) -> Tensor:
    """The decoder's blocks and last norm over packed rows x (N, hidden).

    `attend(layer, qkv)` is the attention. With `narrow` (rows, their groups) only those rows go on
    after the last attention.
    """
    scale = groups.expand(adapters.scale) if adapters is not None else None
    last = len(base.layers) - 1
    for index, layer in enumerate(base.layers):
        h = rms_norm(x, layer.attention_norm, base.epsilon)
        lora = stack_adapters(adapters, index, 0, groups, scale, training)
        o = attend(index, head_norms(base, index, apply_stack(layer.attention_in, h, lora)))
        if narrow is not None and index == last:
            x, o, groups = take_rows(x, narrow[0]), take_rows(o, narrow[0]), narrow[1]
            scale = groups.expand(adapters.scale) if adapters is not None else None
        lora = stack_adapters(adapters, index, 1, groups, scale, training)
        x = apply_stack(layer.attention_out, o, lora, residual=x)
        h = rms_norm(x, layer.mlp_norm, base.epsilon)
        lora = stack_adapters(adapters, index, 2, groups, scale, training)
        h = swiglu(apply_stack(layer.mlp_in, h, lora))
        lora = stack_adapters(adapters, index, 3, groups, scale, training)
        x = apply_stack(layer.mlp_out, h, lora, residual=x)
    return rms_norm(x, base.norm, base.epsilon)


def head_norms(base: PackedBase, index: int, qkv: Tensor) -> Tensor:
    """Qwen3's norm of every query and key head; the rest as it is."""
    layer = base.layers[index]
    if layer.query_norm is None or layer.key_norm is None:
        return qkv
    d_q, d_kv = base.heads * base.head_dim, base.kv_heads * base.head_dim
    q, k, v = torch.split(qkv, [d_q, d_kv, d_kv], -1)
    q = rms_norm(q.reshape(len(qkv), -1, base.head_dim), layer.query_norm, base.epsilon)
    k = rms_norm(k.reshape(len(qkv), -1, base.head_dim), layer.key_norm, base.epsilon)
    return torch.cat([q.flatten(1), k.flatten(1), v], -1)


def forward_packed(
    base: PackedBase,
    packed: Packed,
    adapters: ActiveAdapters | None,
    training: bool = False,
    sink: Sink | None = None,
) -> Tensor:
    """Last hidden states (W, hidden) of the wanted rows; `sink` receives every layer's keys and values."""
    x = base.embedding[packed.ids].to(base.dtype)
    if training:
        # The embedding is frozen, yet autograd must walk down to the first layer's adapters.
        x.requires_grad_()

    cos, sin = (part[packed.positions][:, None] for part in base.angles(packed.longest))

    def attend(index: int, qkv: Tensor) -> Tensor:
        into = None if sink is None else lambda bucket, k, v: sink(index, bucket, k, v)
        function: Any = _Attention.apply
        out: Tensor = function(qkv, base, (cos, sin), packed.buckets, into, training)
        return out

    narrow = (packed.wanted, packed.wanted_groups)
    return run_layers(base, x, adapters, packed.groups, attend, narrow, training)
