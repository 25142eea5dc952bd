"""A frozen matrix that rows are multiplied by, dense or quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# Room for a dequantized weight, by its shape and dtype, which all matrices of a base share: each is read at once.
Buffers = dict[tuple[int, int, torch.dtype], Tensor]

# Rows for which a W that lies by rows is faster on the left.
_FEW = range(3, 49)


@dataclass(slots=True)
class FrozenMatrix:
    """W (d_out, d_in) of one or more stacked projections, dense or as bitsandbytes modules.

    `dtype` is the dtype of products with W; what goes in and comes out keeps its own. A quantized W is dequantized
    into one of `buffers`. `left_for_few`: W stands left of a few rows.
    """

    dense: Tensor | None
    quantized: Sequence[Any]
    bias: Tensor | None
    dtype: torch.dtype
    buffers: Buffers = field(default_factory=dict)
    left_for_few: bool = False

    @property
    def d_out(self) -> int:
        """Rows of W."""
        return len(self.dense) if self.dense is not None else sum(module.out_features for module in self.quantized)

    def lies_in_memory(self, uncached_from: int | None) -> bool:
        """Whether no cache holds W from one step to the next, by its size (`ComputePlan.uncached_from`)."""
        return (
            uncached_from is not None
            and self.dense is not None
            and self.dense.dtype == torch.float32
            and self.dense.numel() >= uncached_from
        )

    def suit_few_rows(self, stays: bool) -> None:
        """Lays a dense W out by columns, or has one that stays as it is stand left of few rows.

        MKL multiplies three to fifty rows by a W that lies by rows at half to nine tenths of that rate.
        """
        assert self.dense is not None
        if stays:
            self.left_for_few = True
        else:
            self.dense = self.dense.t().contiguous().t()

    def weight(self) -> Tensor:
        """W, dequantized if need be: call it once for all rows, and be done with it before another's is wanted."""
        if self.dense is not None:
            return self.dense
        key = self.d_out, int(self.quantized[0].in_features), self.dtype
        if key not in self.buffers:
            with torch.inference_mode(False):
                self.buffers[key] = torch.empty(key[:2], dtype=self.dtype, device=self.quantized[0].weight.device)
        whole = self.buffers[key]
        parts = whole.split_with_sizes([module.out_features for module in self.quantized])
        for module, part in zip(self.quantized, parts, strict=True):
            dequantize(module, self.dtype, part)
        return whole

    def product(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x W^T + bias + residual: (N, d_in) -> (N, d_out)."""
        weight = self.weight()
        if self.left_for_few and x.dtype == weight.dtype and len(x) in _FEW and residual is None and self.bias is None:
            return (weight @ x.t()).t().contiguous()
        if weight.dtype == x.dtype:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            start = residual if residual is not None else bias
            y = x @ weight.t() if start is None else torch.addmm(start, x, weight.t())
            return y.add_(bias) if residual is not None and bias is not None else y
        y = (x.to(weight.dtype) @ weight.t()).to(x.dtype)
        for part in (self.bias, residual):
            if part is not None:
                y += part
        return y

    def transposed(self, dy: Tensor) -> Tensor:
        """dy W: (N, d_out) -> (N, d_in)."""
        weight = self.weight()
        return dy @ weight if weight.dtype == dy.dtype else (dy.to(weight.dtype) @ weight).to(dy.dtype)


def dequantize(module: Any, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
    """A bitsandbytes linear layer's weight (d_out, d_in), in `out` if that is given."""
    import bitsandbytes

    weight = module.weight
    if out is None:
        out = torch.empty(module.out_features, module.in_features, dtype=dtype, device=weight.device)
    if weight.dtype == torch.int8:
        # LLM.int8 (Dettmers et al. 2022): absolute maxima per row, 127 steps.
        scale = weight.SCB if weight.SCB is not None else module.state.SCB
        return torch.mul(weight.data, (scale.to(dtype) / 127)[:, None], out=out)
    dequantize: Any = bitsandbytes.functional.dequantize_4bit
    if weight.is_cuda and weight.quant_state.dtype == dtype:  # elsewhere it takes no tensor to write to
        dequantize(weight.data, weight.quant_state, out=out)
        return out
    return out.copy_(dequantize(weight.data, weight.quant_state))
