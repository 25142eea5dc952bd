"""What happens to every packed row by itself, with hand-written backward passes.

Rows may be narrower than fp32: what is summed or exponentiated then is in fp32, and what comes out is as narrow as what
went in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared import counted_masks
from ecc_fed.end_model.engines.shared.counted_masks import MaskKey
from ecc_fed.end_model.engines.shared.rotary import rotate


def widened(x: Tensor) -> Tensor:
    """x in fp32, or in fp64 if it is."""
    return x if x.dtype == torch.float64 else x.float()


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = widened(x)
        inverse = wide.pow(2).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (wide * inverse).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        x = widened(x)
        dx = dy * weight
        # d/dx of x r with r = (mean x^2 + eps)^-1/2: r (g - x r^2 mean(g x)).
        projection = (dx * x).mean(-1, keepdim=True).mul_(inverse.square())
        return dx.addcmul_(x, projection, value=-1).mul_(inverse).to(dy.dtype), None, None


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        gate, up = packed.chunk(2, -1)
        gate = gate.contiguous()
        ctx.save_for_backward(packed)
        return torch.nn.functional.silu(widened(gate)).mul_(up).to(packed.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (packed,) = ctx.saved_tensors
        gate, up = packed.chunk(2, -1)
        gate, dy = widened(gate.contiguous()), widened(dy)
        dpacked = torch.empty_like(packed, dtype=gate.dtype)
        dgate, dup = dpacked.chunk(2, -1)
        torch.mul(dy, torch.nn.functional.silu(gate), out=dup)
        torch.ops.aten.silu_backward.grad_input(dy * up, gate, grad_input=dgate)
        return dpacked.to(packed.dtype)


class _GeGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        gate, up = packed.chunk(2, -1)
        ctx.save_for_backward(packed)
        return torch.nn.functional.gelu(widened(gate), approximate="tanh").mul_(up).to(packed.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (packed,) = ctx.saved_tensors
        gate, up = packed.chunk(2, -1)
        gate, dy = widened(gate), widened(dy)
        dpacked = torch.empty_like(packed, dtype=gate.dtype)
        dgate, dup = dpacked.chunk(2, -1)
        torch.mul(dy, torch.nn.functional.gelu(gate, approximate="tanh"), out=dup)
        dgate.copy_(torch.ops.aten.gelu_backward(dy * up, gate, approximate="tanh"))
        return dpacked.to(packed.dtype)


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


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last dimension; the weight is frozen."""
    function: Any = _RmsNorm.apply
    y: Tensor = function(x, weight, epsilon)
    return y


def swiglu(packed: Tensor) -> Tensor:
    """silu(gate) * up for packed [gate | up] (N, 2 F) -> (N, F)."""
    function: Any = _SwiGlu.apply
    y: Tensor = function(packed)
    return y


def geglu(packed: Tensor) -> Tensor:
    """gelu(gate) * up, gelu by its tanh form, for packed [gate | up] (N, 2 F) -> (N, F)."""
    function: Any = _GeGlu.apply
    y: Tensor = function(packed)
    return y


# By transformers' name of the gate's activation.
GATED: Mapping[str, Callable[[Tensor], Tensor]] = {"silu": swiglu, "gelu_pytorch_tanh": geglu}


def take_rows(x: Tensor, index: Tensor) -> Tensor:
    """Distinct rows of a packed batch."""
    function: Any = _TakeRows.apply
    y: Tensor = function(x, index)
    return y


@dataclass(frozen=True, slots=True)
class RowFunctions:
    """One way to compute what happens to every row.

    Attributes:
        rms_norm, swiglu: with their backward passes.
        rotate: in place.
        drop: x (N, d) with a mask's dropped elements at 0, for a key; nothing is scaled.
        add_dropped: adds such a masked x to another tensor, in place.
    """

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    swiglu: Callable[[Tensor], Tensor]
    rotate: Callable[[Tensor, Tensor, Tensor, bool], None]
    drop: Callable[[Tensor, MaskKey], Tensor]
    add_dropped: Callable[[Tensor, Tensor, MaskKey], None]


PLAIN = RowFunctions(rms_norm, swiglu, rotate, counted_masks.drop, counted_masks.add_dropped)
