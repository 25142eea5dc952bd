"""The packed decoder's layers with hand-written backward passes.

Frozen weights are only multiplied, never differentiated; adapter gradients are written straight
into the bank's gradient rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.bank import AdapterLayout, StackSpan, StackViews, stack_views
from ecc_fed.end_model.engines.shared.dropout import Dropout
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.packed_base import FrozenMatrix, Stack


class ActiveAdapters:
    """The bank rows in use, as matrices: [layer][stack].

    `scale` (bank rows,) is lora_alpha / rank of every row. `gradients` (groups, size) takes the
    gradient of group g in row g; None where nothing is trained.
    """

    def __init__(
        self,
        layout: AdapterLayout,
        flat: Tensor,
        scale: Tensor,
        gradients: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        self.spans = layout.spans
        self.weights = [[stack_views(flat, span, layout.rank) for span in spans] for spans in layout.spans]
        self.gradients = (
            None
            if gradients is None
            else [[stack_views(gradients, span, layout.rank) for span in spans] for spans in layout.spans]
        )
        self.scale = scale
        self.dropout = dropout
        self.rank = layout.rank


@dataclass(slots=True)
class StackAdapters:
    """One stack's adapters for the rows of one packed batch."""

    span: StackSpan
    weights: StackViews
    gradients: StackViews | None
    groups: Groups
    scale: Tensor  # (N, 1)
    rank: int
    masks: Sequence[Tensor] | None  # for every projection (N, d_in) int8; 1 / (1 - p) is part of the scale
    input_gradient: bool


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
        for index, mask in enumerate(adapters.masks):
            a = adapters.weights.a[:, index * rank : (index + 1) * rank]
            hidden.append(groups.project(x * mask.to(x.dtype), a).mul_(adapters.scale))
    for (start, stop), b, h in zip(adapters.span.outputs, adapters.weights.b, hidden, strict=True):
        groups.add_back(y[:, start:stop], h, b)
    return y, hidden


class _LoraProduct(torch.autograd.Function):
    """`lora_product` with its backward pass; gradients of A and B go to the bank."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, matrix: FrozenMatrix, adapters: StackAdapters) -> Tensor:
        y, hidden = lora_product(x, matrix, adapters, residual)
        ctx.matrix, ctx.adapters, ctx.hidden = matrix, adapters, hidden
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        adapters: StackAdapters = ctx.adapters
        dx = ctx.matrix.transposed(dy) if adapters.input_gradient else None
        if adapters.span.outputs:
            _adapter_backward(adapters, x, dy, ctx.hidden, dx)
        return dx, dy if ctx.needs_input_grad[1] else None, None, None


def _adapter_backward(
    adapters: StackAdapters, x: Tensor, dy: Tensor, hidden: Sequence[Tensor], dx: Tensor | None
) -> None:
    """With h = s x A^T: dB = h^T dy, dh = s dy B, dA = dh^T x, dx += dh A."""
    assert adapters.gradients is not None
    groups, rank = adapters.groups, adapters.rank
    weights, gradients = adapters.weights, adapters.gradients
    stacked = x.new_empty(rank * len(hidden), len(x)).t()
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
    for index, mask in enumerate(adapters.masks):
        part = slice(index * rank, (index + 1) * rank)
        groups.outer(stacked[:, part], x * mask.to(x.dtype), gradients.a[:, part])
        if dx is not None:
            through = torch.zeros_like(x)
            groups.add_back(through, stacked[:, part], weights.a[:, part])
            dx += through.mul_(mask.to(x.dtype))


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        inverse = x.pow(2).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        dx = dy * weight
        # d/dx of x r with r = (mean x^2 + eps)^-1/2: r (g - x r^2 mean(g x)).
        projection = (dx * x).mean(-1, keepdim=True).mul_(inverse.square())
        return dx.addcmul_(x, projection, value=-1).mul_(inverse), None, None


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        gate, up = packed.chunk(2, -1)
        gate = gate.contiguous()
        ctx.save_for_backward(packed)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (packed,) = ctx.saved_tensors
        gate, up = packed.chunk(2, -1)
        gate = gate.contiguous()
        dpacked = torch.empty_like(packed)
        dgate, dup = dpacked.chunk(2, -1)
        torch.mul(dy, torch.nn.functional.silu(gate), out=dup)
        torch.ops.aten.silu_backward.grad_input(dy * up, gate, grad_input=dgate)
        return dpacked


class _TakeRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = len(x)
        return x[index]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        dx = dy.new_zeros(ctx.rows, dy.shape[1])
        dx[index] = dy
        return dx, None


class _LabelLoss(torch.autograd.Function):
    # The gradient to x is made on the way forward, while a slice's logits are at hand.
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, head: FrozenMatrix, targets: Tensor, weights: Tensor, slice_rows: int
    ) -> tuple[Tensor, Tensor]:
        losses = x.new_empty(len(x))
        dx = torch.empty_like(x)
        for start in range(0, len(x), slice_rows):
            part = slice(start, start + slice_rows)
            logits = head.product(x[part])
            wanted = targets[part, None]
            log_total = logits.logsumexp(-1, keepdim=True)
            losses[part] = (log_total - logits.gather(-1, wanted))[:, 0]
            gradient = logits.sub_(log_total).exp_()
            gradient.scatter_add_(-1, wanted, gradient.new_full(wanted.shape, -1.0))
            dx[part] = head.transposed(gradient.mul_(weights[part, None]))
        ctx.save_for_backward(dx)
        ctx.mark_non_differentiable(losses)
        return torch.dot(losses, weights), losses

    @staticmethod
    def backward(ctx: Any, dsum: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (dx,) = ctx.saved_tensors
        return dx * dsum, None, None, None, None


def stack_adapters(
    adapters: ActiveAdapters | None, layer: int, index: int, groups: Groups, scale: Tensor | None, training: bool
) -> StackAdapters | None:
    """What one stack's product needs; draws its dropout masks."""
    if adapters is None or scale is None:
        return None
    span = adapters.spans[layer][index]
    masks = None
    if training and adapters.dropout is not None:
        masks = adapters.dropout.masks(groups.sizes, span.d_in, len(span.outputs))
        scale = scale * adapters.dropout.keep_scale
    return StackAdapters(
        span,
        adapters.weights[layer][index],
        adapters.gradients[layer][index] if adapters.gradients is not None else None,
        groups,
        scale,
        adapters.rank,
        masks,
        # The embedding is frozen: nothing lies below the first layer.
        input_gradient=(layer, index) != (0, 0),
    )


def apply_stack(stack: Stack, x: Tensor, adapters: StackAdapters | None, residual: Tensor | None = None) -> Tensor:
    """One stack's product, with or without adapters and gradient."""
    if adapters is None or adapters.gradients is None:
        return lora_product(x, stack.matrix, adapters, residual)[0]
    y: Tensor = _apply(_LoraProduct, x, residual, stack.matrix, adapters)
    return y


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last dimension; the weight is frozen."""
    y: Tensor = _apply(_RmsNorm, x, weight, epsilon)
    return y


def swiglu(packed: Tensor) -> Tensor:
    """silu(gate) * up for packed [gate | up] (N, 2 F) -> (N, F)."""
    y: Tensor = _apply(_SwiGlu, packed)
    return y


def take_rows(x: Tensor, index: Tensor) -> Tensor:
    """Distinct rows of a packed batch."""
    y: Tensor = _apply(_TakeRows, x, index)
    return y


def label_loss(
    x: Tensor, head: FrozenMatrix, targets: Tensor, weights: Tensor, slice_rows: int
) -> tuple[Tensor, Tensor]:
    """Weighted sum of -log p(target) over rows x (W, hidden), and each row's unweighted -log p.

    The head is inside, a slice of rows at a time, so that never more than a slice of logits is held.
    """
    total, losses = _apply(_LabelLoss, x, head, targets, weights, slice_rows)
    return total, losses


def label_nll(x: Tensor, head: FrozenMatrix, targets: Tensor, slice_rows: int) -> Tensor:
    """Each row's -log p(target) (W,), without gradient."""
    losses = []
    for start in range(0, len(x), slice_rows):
        logits = head.product(x[start : start + slice_rows])
        wanted = targets[start : start + slice_rows, None]
        losses.append((logits.logsumexp(-1, keepdim=True) - logits.gather(-1, wanted))[:, 0])
    return torch.cat(losses)


def _apply(function: Any, *arguments: Any) -> Any:
    return function.apply(*arguments)
