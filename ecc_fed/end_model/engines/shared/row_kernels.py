"""`row_functions` in one launch each, by Triton: imported where there is a GPU alone.

Every kernel is held against the plain form of the same name; sums and exponentials are in fp32, as there.
"""
# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls, allow-incomplete-defs

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ecc_fed.end_model.engines.shared.counted_masks import LANES, STRIDE, MaskKey
from ecc_fed.end_model.engines.shared.row_functions import RowFunctions

_BLOCK = 1024


@triton.jit
def _swiglu_forward(packed, out, width, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    gate = tl.load(packed + row * 2 * width + column, inside, 0.0).to(tl.float32)
    up = tl.load(packed + row * 2 * width + width + column, inside, 0.0).to(tl.float32)
    tl.store(out + row * width + column, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), inside)


@triton.jit
def _swiglu_backward(packed, dy, width, block: tl.constexpr):
    """Writes the gradient over `packed`."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    gates = packed + row * 2 * width + column
    gate = tl.load(gates, inside, 0.0).to(tl.float32)
    up = tl.load(gates + width, inside, 0.0).to(tl.float32)
    d = tl.load(dy + row * width + column, inside, 0.0).to(tl.float32)
    sigmoid = tl.sigmoid(gate)
    dgate = d * up * sigmoid * (1 + gate * (1 - sigmoid))
    tl.store(gates, dgate.to(packed.dtype.element_ty), inside)
    tl.store(gates + width, (d * gate * sigmoid).to(packed.dtype.element_ty), inside)


@triton.jit
def _norm_forward(x, weight, out, inverses, width, epsilon, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    values = tl.load(x + row * width + column, inside, 0.0).to(tl.float32)
    inverse = 1.0 / tl.sqrt(tl.sum(values * values) / width + epsilon)
    scaled = values * inverse * tl.load(weight + column, inside, 0.0).to(tl.float32)
    tl.store(out + row * width + column, scaled.to(out.dtype.element_ty), inside)
    tl.store(inverses + row, inverse)


@triton.jit
def _norm_backward(x, weight, inverses, dy, dx, width, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    values = tl.load(x + row * width + column, inside, 0.0).to(tl.float32)
    d = tl.load(dy + row * width + column, inside, 0.0).to(tl.float32)
    d *= tl.load(weight + column, inside, 0.0).to(tl.float32)
    inverse = tl.load(inverses + row)
    projection = tl.sum(d * values) / width * inverse * inverse
    tl.store(dx + row * width + column, ((d - values * projection) * inverse).to(dx.dtype.element_ty), inside)


@triton.jit
def _rotate(x, cos, sin, row_stride, head_stride, heads, half, step, apart, lanes: tl.constexpr, block: tl.constexpr):
    """Pairs of a head lie `apart` from each other, and `step` from the next pair."""
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * lanes + tl.arange(0, lanes)[:, None]
    pair = tl.arange(0, block)[None]
    inside = (head < heads) & (pair < half)
    firsts = x + row * row_stride + head * head_stride + pair * step
    angle = row * half + tl.arange(0, block)[None]
    c = tl.load(cos + angle, pair < half, 0.0).to(tl.float32)
    s = tl.load(sin + angle, pair < half, 0.0).to(tl.float32)
    first = tl.load(firsts, inside, 0.0).to(tl.float32)
    second = tl.load(firsts + apart, inside, 0.0).to(tl.float32)
    tl.store(firsts, (first * c - second * s).to(x.dtype.element_ty), inside)
    tl.store(firsts + apart, (second * c + first * s).to(x.dtype.element_ty), inside)


@triton.jit
def _lane(x, out, row, column, width, draw, threshold, add: tl.constexpr):
    inside = column < width
    value = tl.load(x + row * width + column, inside, 0.0).to(tl.float32)
    value = tl.where(draw.to(tl.int32) >= threshold, value, 0.0)
    if add:
        value += tl.load(out + row * width + column, inside, 0.0).to(tl.float32)
    tl.store(out + row * width + column, value.to(out.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["site", "step", "threshold"])
def _drop(x, out, seeds, numbers, width, site, step, threshold, add: tl.constexpr, stride: tl.constexpr):
    """A row's tile of eight lanes: see `counted_masks`."""
    row = tl.program_id(0).to(tl.int64)
    tile = tl.program_id(1)
    place = tl.arange(0, stride)
    # All words as wide as the tile: the rounds mix them.
    block = tile * stride + place
    number = block * 0 + tl.load(numbers + row)
    at, when = (block * 0 + site).to(tl.uint32), (block * 0 + step).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(tl.load(seeds + row), block.to(tl.uint32), number.to(tl.uint32), at, when)
    column = tile * stride * 8 + place
    _lane(x, out, row, column, width, w0 & 0xFFFF, threshold, add)
    _lane(x, out, row, column + stride, width, w0 >> 16, threshold, add)
    _lane(x, out, row, column + 2 * stride, width, w1 & 0xFFFF, threshold, add)
    _lane(x, out, row, column + 3 * stride, width, w1 >> 16, threshold, add)
    _lane(x, out, row, column + 4 * stride, width, w2 & 0xFFFF, threshold, add)
    _lane(x, out, row, column + 5 * stride, width, w2 >> 16, threshold, add)
    _lane(x, out, row, column + 6 * stride, width, w3 & 0xFFFF, threshold, add)
    _lane(x, out, row, column + 7 * stride, width, w3 >> 16, threshold, add)


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        packed = packed.contiguous()
        width = packed.shape[1] // 2
        out = packed.new_empty(len(packed), width)
        _swiglu_forward[(len(packed), triton.cdiv(width, _BLOCK))](packed, out, width, _BLOCK)
        ctx.save_for_backward(packed)
        return out

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        packed: Tensor = ctx.saved_tensors[0]
        width = packed.shape[1] // 2
        # Nobody reads gate and up again: the product that made them keeps no output.
        _swiglu_backward[(len(packed), triton.cdiv(width, _BLOCK))](packed, dy.contiguous(), width, _BLOCK)
        return packed


def _warps(block: int) -> int:
    """Of a program that holds a whole row of so many numbers."""
    return 4 if block <= 2048 else 8


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        out, inverses = torch.empty_like(x), x.new_empty(rows, dtype=torch.float32)
        block = triton.next_power_of_2(width)
        _norm_forward[(rows,)](x, weight, out, inverses, width, epsilon, block, num_warps=_warps(block))
        ctx.save_for_backward(x, weight, inverses)
        return out

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverses = ctx.saved_tensors
        width, dx = x.shape[-1], torch.empty_like(x)
        block = triton.next_power_of_2(width)
        _norm_backward[(len(inverses),)](
            x, weight, inverses, dy.contiguous(), dx, width, block, num_warps=_warps(block)
        )
        return dx, None, None


def swiglu(packed: Tensor) -> Tensor:
    """As `row_functions.swiglu`; its backward pass writes over `packed`."""
    function: Any = _SwiGlu.apply
    y: Tensor = function(packed)
    return y


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """As `row_functions.rms_norm`."""
    function: Any = _RmsNorm.apply
    y: Tensor = function(x, weight, epsilon)
    return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> None:
    """As `rotary.rotate`, for x (N, heads, head_dim) and angles (N, 1, dims / 2)."""
    rows, heads, _ = x.shape
    half = cos.shape[-1]
    step, apart = (2, 1) if interleaved else (1, half)
    block = triton.next_power_of_2(half)
    lanes = max(1, min(triton.next_power_of_2(heads), _BLOCK // block))
    _rotate[(rows, triton.cdiv(heads, lanes))](
        x, cos.contiguous(), sin.contiguous(), x.stride(0), x.stride(1), heads, half, step, apart, lanes, block
    )


def drop(x: Tensor, key: MaskKey) -> Tensor:
    """As `counted_masks.drop`."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _dropped(x, out, key, add=False)
    return out


def add_dropped(into: Tensor, x: Tensor, key: MaskKey) -> None:
    """As `counted_masks.add_dropped`, for a contiguous `into`."""
    assert into.is_contiguous()
    _dropped(x.contiguous(), into, key, add=True)


def _dropped(x: Tensor, out: Tensor, key: MaskKey, add: bool) -> None:
    rows, width = x.shape
    grid = (rows, triton.cdiv(width, STRIDE * LANES))
    _drop[grid](x, out, key.seeds, key.numbers, width, key.site, key.step, key.threshold, add, STRIDE)


FUSED = RowFunctions(rms_norm, swiglu, rotate, drop, add_dropped)
