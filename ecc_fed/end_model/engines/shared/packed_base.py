"""A frozen decoder as plain matrices.

Projections that read the same input (q, k, v; gate, up) are one matrix, so that one product serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.compute_plan import CPU, ComputePlan
from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.grouped_rows import GroupedRows
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.varlen import Varlen

# A value of the wanted dtype and device, positions (1, length) -> cos and sin (1, length, rotary dims).
Rotary = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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
    """One decoder block.

    Attributes:
        window: how many tokens back a token sees, itself included; None: all.
        rope: the name of the rotary frequencies; None: no rotary.
        behind_attention, behind_mlp: norms of what is then added to the residual; None: none.
    """

    attention_norm: Tensor
    attention_in: Stack
    query_norm: Tensor | None
    key_norm: Tensor | None
    attention_out: Stack
    mlp_norm: Tensor
    mlp_in: Stack
    mlp_out: Stack
    window: int | None = None
    rope: str | None = ""
    behind_attention: Tensor | None = None
    behind_mlp: Tensor | None = None

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The four stacks that may bear adapters, in the order of the forward pass."""
        return self.attention_in, self.attention_out, self.mlp_in, self.mlp_out


@dataclass(slots=True)
class PackedBase:
    """A frozen decoder: `layers` between an embedding and a head.

    `dtype` is that of adapters, norms and losses; `plan` says how passes are computed.

    Attributes:
        rotary: transformers' own rotary embedding, by the name of its frequencies.
        module_order: the names of the layers' projections in the order of the model's modules.
        gated: the MLP's activation, [gate | up] (N, 2 F) -> (N, F).
        embedding_scale: what an embedding is multiplied by; None: nothing.
        score_scale: what attention scores are multiplied by; None: head_dim^-1/2.
        logit_cap: logits are bounded to +-cap by cap tanh(x / cap); None: they are not.
        positions: up to how many tokens the rotary frequencies hold; None: for any length.
    """

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: FrozenMatrix
    epsilon: float
    heads: int
    kv_heads: int
    head_dim: int
    rotary: Mapping[str, Rotary]
    interleaved: bool
    dtype: torch.dtype
    device: torch.device
    module_order: Sequence[str]
    gated: Callable[[Tensor], Tensor]
    embedding_scale: float | None = None
    score_scale: float | None = None
    logit_cap: float | None = None
    positions: int | None = None
    plan: ComputePlan = field(default=CPU)
    _angles: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def training_dtype(self) -> torch.dtype:
        """Of activations in training."""
        return self.layers[0].attention_in.matrix.dtype if self.plan.narrow_training else self.dtype

    @property
    def lies_in_memory(self) -> bool:
        """Whether a step of replies takes as long as reading its matrices does, however few the rows."""
        return any(stack.matrix.lies_in_memory(self.plan.uncached_from) for stack in self.layers[0].stacks)

    @property
    def varlen(self) -> Varlen | None:
        """Attention of all sequences in one launch, in training; None: bucket by bucket."""
        return self.plan.varlen if self.training_dtype in self.plan.one_launch else None

    def training_groups(self, rows: Sequence[int], sizes: Sequence[int]) -> Groups:
        """Packed rows in groups, for training: each group's bank row, and how many packed rows it has."""
        if self.plan.grouped is not None and self.training_dtype in self.plan.one_launch:
            return GroupedRows(rows, sizes, self.device, self.plan.grouped)
        return Groups(rows, sizes, self.device, self.plan.loops_over(len(sizes), sum(sizes)))

    def angles(self, length: int, rope: str = "") -> tuple[Tensor, Tensor]:
        """cos and sin (length, rotary dims / 2) of positions 0 to length - 1."""
        if rope not in self._angles or self._angles[rope][0].shape[0] < length:
            # More than are wanted now, but none beyond which the frequencies would be others.
            made = max(length, 512 if self.positions is None else min(512, self.positions))
            with torch.inference_mode(False), torch.no_grad():
                positions = torch.arange(made, device=self.device)[None]
                cos, sin = self.rotary[rope](torch.zeros((), dtype=self.dtype, device=self.device), positions)
            half = cos.shape[-1] // 2
            self._angles[rope] = cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous()
        cos, sin = self._angles[rope]
        return cos[:length], sin[:length]

    def embed(self, ids: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Embeddings (N, hidden) of token ids (N,), in `dtype` or in the base's."""
        x = self.embedding[ids].to(dtype or self.dtype)
        return x if self.embedding_scale is None else x * self.embedding_scale

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, vocabulary) of last hidden states (N, hidden)."""
        return cap_logits(self.head.product(hidden), self.logit_cap)


def cap_logits(logits: Tensor, cap: float | None) -> Tensor:
    """cap tanh(logits / cap), in place; logits as they are for None."""
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)
