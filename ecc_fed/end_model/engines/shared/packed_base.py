"""A frozen decoder as plain matrices.

Projections that read the same input (q, k, v; gate, up) are one matrix, so that one product serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix


@dataclass(frozen=True, slots=True)
class Projection:
    """One projection inside a stacked matrix: its module name and its rows of the output."""

    name: str
    start: int
    stop: int


@dataclass(slots=True)
class Stack:
    """Projections that share one input."""

    matrix: FrozenMatrix
    d_in: int
    projections: tuple[Projection, ...]


@dataclass(slots=True)
class Layer:
    """One decoder block."""

    attention_norm: Tensor
    attention_in: Stack
    query_norm: Tensor | None
    key_norm: Tensor | None
    attention_out: Stack
    mlp_norm: Tensor
    mlp_in: Stack
    mlp_out: Stack

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The four stacks that may bear adapters, in the order of the forward pass."""
        return self.attention_in, self.attention_out, self.mlp_in, self.mlp_out


@dataclass(slots=True)
class PackedBase:
    """A frozen decoder: `layers` between an embedding and a head."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: FrozenMatrix
    epsilon: float
    heads: int
    kv_heads: int
    head_dim: int
    rotary: Any
    interleaved: bool
    dtype: torch.dtype
    device: torch.device
    _angles: tuple[Tensor, Tensor] | None = field(default=None)

    def angles(self, length: int) -> tuple[Tensor, Tensor]:
        """cos and sin (length, rotary dims / 2) of positions 0 to length - 1."""
        if self._angles is None or self._angles[0].shape[0] < length:
            with torch.inference_mode(False), torch.no_grad():
                positions = torch.arange(max(length, 512), device=self.device)[None]
                cos, sin = self.rotary(torch.zeros((), dtype=self.dtype, device=self.device), positions)
            half = cos.shape[-1] // 2
            self._angles = cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous()
        return self._angles[0][:length], self._angles[1][:length]
