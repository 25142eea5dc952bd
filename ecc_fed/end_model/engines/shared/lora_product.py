"""A stack's product with its adapters beside it, and the hand-written backward pass.

The frozen weight is only multiplied, never differentiated; the adapters' gradients are written straight into the
bank's gradient rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.active_adapters import StackAdapters
from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.packed_base import Stack


def lora_product(
    x: Tensor, matrix: FrozenMatrix, adapters: StackAdapters | None, residual: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """x W^T + bias + residual + scale (x A^T) B^T, and every projection's scaled x A^T (N, rank)."""
    y = matrix.product(x, residual)
    hidden: list[Tensor] = []
    if adapters is None or not adapters.span.outputs:
        return y, hidden
    groups, rank = adapters.groups, adapters.rank
    if adapters.masks is None:
        h = groups.project(x, adapters.weights.a).mul_(adapters.scale)
        hidden = [h[:, i * rank : (i + 1) * rank] for i in range(len(adapters.span.outputs))]
    else:
        for index in range(len(adapters.span.outputs)):
            a = adapters.weights.a[:, index * rank : (index + 1) * rank]
            hidden.append(groups.project(adapters.masks.drop(index, x), a).mul_(adapters.scale))
    for (start, stop), b, h in zip(adapters.span.outputs, adapters.weights.b, hidden, strict=True):
        groups.add_back(y[:, start:stop], h, b)
    return y, hidden


class _LoraProduct(torch.autograd.Function):
    """`lora_product` with its backward pass; gradients of A and B go to the bank."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, matrix: FrozenMatrix, adapters: StackAdapters) -> Tensor:
        y, hidden = lora_product(x, matrix, adapters, residual)
        ctx.matrix, ctx.adapters, ctx.hidden = matrix, adapters, hidden
        # The frozen product's own gradient needs no input.
        ctx.save_for_backward(*([x] if hidden else []))
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        adapters: StackAdapters = ctx.adapters
        dx = ctx.matrix.transposed(dy) if adapters.input_gradient else None
        if ctx.hidden:
            (x,) = ctx.saved_tensors
            _adapter_backward(adapters, x, dy, ctx.hidden, dx)
        return dx, dy if ctx.needs_input_grad[1] else None, None, None


def _adapter_backward(
    adapters: StackAdapters, x: Tensor, dy: Tensor, hidden: Sequence[Tensor], dx: Tensor | None
) -> None:
    """With h = s x A^T: dB = h^T dy, dh = s dy B, dA = dh^T x, dx += dh A."""
    assert adapters.gradients is not None
    groups, rank = adapters.groups, adapters.rank
    weights, gradients = adapters.weights, adapters.gradients
    stacked = groups.new_hidden(x, rank * len(hidden))
    for index, ((start, stop), h) in enumerate(zip(adapters.span.outputs, hidden, strict=True)):
        out = dy[:, start:stop]
        groups.outer(h, out, gradients.b[index])
        dh = groups.project(out, weights.b[index])
        torch.mul(dh, adapters.scale, out=stacked[:, index * rank : (index + 1) * rank])
    if adapters.masks is None:
        groups.outer(stacked, x, gradients.a)
        if dx is not None:
            groups.add_back(dx, stacked, weights.a)
        return
    for index in range(len(hidden)):
        part = slice(index * rank, (index + 1) * rank)
        groups.outer(stacked[:, part], adapters.masks.drop(index, x), gradients.a[:, part])
        if dx is not None:
            adapters.masks.add_dropped(index, dx, groups.back(stacked[:, part], weights.a[:, part]))


def apply_stack(stack: Stack, x: Tensor, adapters: StackAdapters | None, residual: Tensor | None = None) -> Tensor:
    """One stack's product, with or without adapters and gradient."""
    if adapters is None or adapters.gradients is None:
        return lora_product(x, stack.matrix, adapters, residual)[0]
    function: Any = _LoraProduct.apply
    y: Tensor = function(x, residual, stack.matrix, adapters)
    return y
