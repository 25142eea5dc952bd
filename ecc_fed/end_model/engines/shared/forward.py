"""The way of a packed batch through a frozen decoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters, StackAdapters, stack_adapters
from ecc_fed.end_model.engines.shared.attention import Angles, attend_at_once, attend_packed
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.lora_product import apply_stack
from ecc_fed.end_model.engines.shared.packed_base import PackedBase, Stack
from ecc_fed.end_model.engines.shared.packing import Bucket, Packed
from ecc_fed.end_model.engines.shared.row_functions import take_rows

LayerSink = Callable[[int, Bucket, Tensor, Tensor], None]


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
    rms_norm = base.plan.rows.rms_norm
    last = len(base.layers) - 1
    for index, layer in enumerate(base.layers):
        h = rms_norm(x, layer.attention_norm, base.epsilon)
        lora = stack_adapters(adapters, index, 0, groups, scale, training)
        o = attend(index, head_norms(base, index, apply_stack(layer.attention_in, h, lora)))
        if narrow is not None and index == last:
            x, o, groups = take_rows(x, narrow[0]), take_rows(o, narrow[0]), narrow[1]
            scale = groups.expand(adapters.scale) if adapters is not None else None
        lora = stack_adapters(adapters, index, 1, groups, scale, training)
        x = _add(base, layer.attention_out, layer.behind_attention, o, lora, x)
        h = rms_norm(x, layer.mlp_norm, base.epsilon)
        lora = stack_adapters(adapters, index, 2, groups, scale, training)
        h = base.gated(apply_stack(layer.mlp_in, h, lora))
        lora = stack_adapters(adapters, index, 3, groups, scale, training)
        x = _add(base, layer.mlp_out, layer.behind_mlp, h, lora, x)
    return rms_norm(x, base.norm, base.epsilon)


def _add(
    base: PackedBase, stack: Stack, behind: Tensor | None, h: Tensor, lora: StackAdapters | None, x: Tensor
) -> Tensor:
    """x plus the stack's product with h, normed by `behind` if there is such a norm."""
    if behind is None:
        return apply_stack(stack, h, lora, residual=x)
    return x + base.plan.rows.rms_norm(apply_stack(stack, h, lora), behind, base.epsilon)


def head_norms(base: PackedBase, index: int, qkv: Tensor) -> Tensor:
    """The norm of every query and key head, where a family has one; the rest as it is."""
    layer = base.layers[index]
    if layer.query_norm is None or layer.key_norm is None:
        return qkv
    d_q, d_kv = base.heads * base.head_dim, base.kv_heads * base.head_dim
    q, k, v = torch.split(qkv, [d_q, d_kv, d_kv], -1)
    rms_norm = base.plan.rows.rms_norm
    q = rms_norm(q.reshape(len(qkv), -1, base.head_dim), layer.query_norm, base.epsilon)
    k = rms_norm(k.reshape(len(qkv), -1, base.head_dim), layer.key_norm, base.epsilon)
    return torch.cat([q.flatten(1), k.flatten(1), v], -1)


def forward_packed(
    base: PackedBase,
    packed: Packed,
    adapters: ActiveAdapters | None,
    training: bool = False,
    sink: LayerSink | None = None,
) -> Tensor:
    """Last hidden states (W, hidden) of the wanted rows; `sink` receives every layer's keys and values."""
    x = base.embed(packed.ids, base.training_dtype if training else base.dtype)
    if training:
        # The embedding is frozen, yet autograd must walk down to the first layer's adapters.
        x.requires_grad_()

    angles: dict[str | None, Angles | None] = {None: None}
    for rope in base.rotary:
        cos, sin = (part[packed.positions][:, None] for part in base.angles(packed.longest, rope))
        angles[rope] = cos, sin

    def attend(index: int, qkv: Tensor) -> Tensor:
        layer = base.layers[index]
        turns = angles[layer.rope]
        # One launch for all sequences knows neither windows nor other scales.
        whole = layer.window is None or packed.longest <= layer.window
        if training and base.varlen is not None and whole and turns is not None and base.score_scale is None:
            return attend_at_once(base, qkv, turns, packed)
        into = None if sink is None else partial(sink, index)
        return attend_packed(base, qkv, turns, packed.buckets, into, training, layer.window)

    narrow = (packed.wanted, packed.wanted_groups)
    return run_layers(base, x, adapters, packed.groups, attend, narrow, training)
