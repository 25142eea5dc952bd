"""A frozen matrix that rows are multiplied by, dense or quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(slots=True)
class FrozenMatrix:
    """W (d_out, d_in) of one or more stacked projections, dense or as bitsandbytes modules.

    `dtype` is the dtype of products with W; what goes in and comes out keeps its own.
    """

    dense: Tensor | None
    quantized: Sequence[Any]
    bias: Tensor | None
    dtype: torch.dtype

    @property
    def d_out(self) -> int:
        """Rows of W."""
        return len(self.dense) if self.dense is not None else sum(module.out_features for module in self.quantized)

    def weight(self) -> Tensor:
        """W, dequantized if need be: call it once for all rows."""
        if self.dense is not None:
            return self.dense
        return torch.cat([dequantize(module, self.dtype) for module in self.quantized])

    def product(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x W^T + bias + residual: (N, d_in) -> (N, d_out)."""
        weight = self.weight()
        if weight.dtype == x.dtype:
            start = residual if residual is not None else self.bias
            y = x @ weight.t() if start is None else torch.addmm(start, x, weight.t())
            return y.add_(self.bias) if residual is not None and self.bias is not None else y
        y = (x.to(weight.dtype) @ weight.t()).to(x.dtype)
        for part in (self.bias, residual):
            if part is not None:
                y += part
        return y

    def transposed(self, dy: Tensor) -> Tensor:
        """dy W: (N, d_out) -> (N, d_in)."""
        weight = self.weight()
        return dy @ weight if weight.dtype == dy.dtype else (dy.to(weight.dtype) @ weight).to(dy.dtype)


def dequantize(module: Any, dtype: torch.dtype) -> Tensor:
    """A bitsandbytes linear layer's weight (d_out, d_in)."""
    import bitsandbytes

    weight = module.weight
    if weight.dtype == torch.int8:
        # LLM.int8 (Dettmers et al. 2022): absolute maxima per row, 127 steps.
        scale = weight.SCB if weight.SCB is not None else module.state.SCB
        rows: Tensor = weight.data.to(dtype) * (scale.to(dtype) / 127)[:, None]
        return rows
    dequantize: Any = bitsandbytes.functional.dequantize_4bit
    whole: Tensor = dequantize(weight.data, weight.quant_state).to(dtype)
    return whole
