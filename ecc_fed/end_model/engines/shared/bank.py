"""Many adapters in one bank: row k of every array is shop k's adapter, so shops are row operations.

A row holds, stack after stack, the A matrices of the stack's adapted projections one under the
other, then their B matrices, each transposed. Adapters of lower rank are padded with zeros, which
stay zero: a zero row of A meets a zero column of B, so neither ever gets a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.records import AdapterState, Array
from ecc_fed.end_model.engines.shared.packed_base import PackedBase, Stack


@dataclass(frozen=True, slots=True)
class Entry:
    """One projection's pair of tensors: peft's name stem, shapes, and where a row holds them."""

    name: str
    d_in: int
    d_out: int
    a_start: int
    b_start: int


@dataclass(frozen=True, slots=True)
class StackSpan:
    """Where a row holds one stack's adapters, and which output columns each of them feeds."""

    d_in: int
    a_start: int
    a_stop: int
    outputs: tuple[tuple[int, int], ...]  # (start, stop) in the stack's output, for every adapted projection
    b_starts: tuple[int, ...]


class AdapterLayout:
    """What a bank row holds, for LoRA of `rank` on `target_modules` of `base`."""

    def __init__(self, base: PackedBase, rank: int, target_modules: str | Sequence[str]) -> None:
        self.rank = rank
        self.spans: list[list[StackSpan]] = []  # [layer][stack]
        self.entries: list[Entry] = []
        self.size = 0
        for layer in base.layers:
            self.spans.append([self._place(stack, target_modules) for stack in layer.stacks])
        # As peft lists them: not every family's modules stand in the order in which they are used.
        place = {f"base_model.model.{name}": index for index, name in enumerate(base.module_order)}
        self.entries.sort(key=lambda entry: place[entry.name])

    def _place(self, stack: Stack, target_modules: str | Sequence[str]) -> StackSpan:
        chosen = [
            projection
            for projection in stack.projections
            if isinstance(target_modules, str) or projection.name.rsplit(".", 1)[-1] in target_modules
        ]
        a_start = self.size
        a_stop = a_start + len(chosen) * self.rank * stack.d_in
        offset, b_starts = a_stop, []
        for index, projection in enumerate(chosen):
            d_out = projection.stop - projection.start
            name = f"base_model.model.{projection.name}"
            self.entries.append(Entry(name, stack.d_in, d_out, a_start + index * self.rank * stack.d_in, offset))
            b_starts.append(offset)
            offset += self.rank * d_out
        self.size = offset
        outputs = tuple((projection.start, projection.stop) for projection in chosen)
        return StackSpan(stack.d_in, a_start, a_stop, outputs, tuple(b_starts))

    def shapes(self, rank: int | None = None) -> dict[str, tuple[int, ...]]:
        """peft's tensor names and shapes."""
        r = self.rank if rank is None else rank
        shapes: dict[str, tuple[int, ...]] = {}
        for entry in self.entries:
            shapes[f"{entry.name}.lora_A.weight"] = (r, entry.d_in)
            shapes[f"{entry.name}.lora_B.weight"] = (entry.d_out, r)
        return shapes

    def write(self, row: Array, state: AdapterState) -> None:
        """Fills a zeroed numpy row (size,) from tensors named as peft names them."""
        for entry in self.entries:
            a = state[f"{entry.name}.lora_A.weight"]
            b = state[f"{entry.name}.lora_B.weight"]
            row[entry.a_start : entry.a_start + a.size] = a.reshape(-1)
            row[entry.b_start : entry.b_start + b.size] = b.T.reshape(-1)

    def read(self, row: Array, rank: int) -> dict[str, Array]:
        """The tensors of a numpy row (size,), cut back to their own rank."""
        state = {}
        for entry in self.entries:
            a = row[entry.a_start : entry.a_start + rank * entry.d_in].reshape(rank, entry.d_in)
            b = row[entry.b_start : entry.b_start + rank * entry.d_out].reshape(rank, entry.d_out)
            state[f"{entry.name}.lora_A.weight"] = a.copy()
            state[f"{entry.name}.lora_B.weight"] = np.ascontiguousarray(b.T)
        return state


@dataclass(slots=True)
class StackViews:
    """Views of a bank's rows for one stack."""

    a: Tensor  # (rows, projections * rank, d_in)
    b: list[Tensor]  # for every projection (rows, rank, d_out)


def stack_views(flat: Tensor, span: StackSpan, rank: int) -> StackViews:
    """The matrices that the rows of `flat` (rows, size) hold for one stack."""
    a = flat[:, span.a_start : span.a_stop].view(flat.shape[0], len(span.outputs) * rank, span.d_in)
    b = [
        flat[:, start : start + rank * (stop - out)].view(flat.shape[0], rank, stop - out)
        for start, (out, stop) in zip(span.b_starts, span.outputs, strict=True)
    ]
    return StackViews(a, b)


def adapter_rank(state: AdapterState, default: int) -> int:
    """The rank of an adapter, read from its first A."""
    for name, array in state.items():
        if ".lora_A." in name and array.ndim == 2:
            return int(array.shape[0])
    return default


def load_rows(layout: AdapterLayout, states: Sequence[AdapterState | None], base: PackedBase) -> Tensor:
    """A bank (rows, size); a row without a state is zero, and so leaves the base alone."""
    rows = np.zeros((len(states), layout.size), np.float32)
    for row, state in zip(rows, states, strict=True):
        if state is not None:
            layout.write(row, state)
    return torch.from_numpy(rows).to(base.device, base.dtype)
