"""Adapter products of all groups in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.grouped_product import GroupedProduct
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.uploads import upload


class GroupedRows(Groups):
    """`Groups` by a `GroupedProduct`. All operands are bf16, and all widths multiples of 8.

    Successive groups of one bank row meet its matrix together: examples whose gradients are wanted one by one are
    groups of their own in `outer` alone.
    """

    def __init__(
        self, rows: Sequence[int], sizes: Sequence[int], device: torch.device, product: GroupedProduct
    ) -> None:
        super().__init__(rows, sizes, device, loop=False)
        self._product = product
        runs: list[list[int]] = []  # bank row, size
        for row, size in zip(self.rows, self.sizes, strict=True):
            if runs and runs[-1][0] == row:
                runs[-1][1] += size
            else:
                runs.append([row, size])
        ends = [_cumulated(sizes), _cumulated([size for _, size in runs])]
        self._ends, self._run_ends = upload([*ends[0], *ends[1]], device, torch.int32).split_with_sizes(
            [len(e) for e in ends]
        )
        self._run_rows = [row for row, _ in runs]
        first = self._run_rows[0]
        successive = self._run_rows == list(range(first, first + len(runs)))
        self._slice = slice(first, first + len(runs)) if successive else None
        self._run_index = None if successive else upload(self._run_rows, device, torch.int64)

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """x_g w_g^T: x (N, d), w (bank rows, e, d) -> (N, e)."""
        return self._product(x, self._of_runs(w).transpose(1, 2), self._run_ends)

    def back(self, h: Tensor, w: Tensor) -> Tensor:
        """h_g w_g: h (N, e), w (bank rows, e, d) -> (N, d)."""
        return self._product(h, self._of_runs(w), self._run_ends)

    def add_back(self, x: Tensor, h: Tensor, w: Tensor) -> None:
        """x_g += h_g w_g in place: x (N, d), h (N, e), w (bank rows, e, d)."""
        x += self.back(h, w)

    def outer(self, h: Tensor, x: Tensor, out: Tensor) -> None:
        """out_g = h_g^T x_g: h (N, e), x (N, d) -> out (groups, e, d)."""
        out.copy_(self._product(h.t(), x, self._ends))

    def new_hidden(self, like: Tensor, width: int) -> Tensor:
        """Room for (N, width) numbers, rows contiguous: a kernel reads them by 16 bytes."""
        return like.new_empty(self.total, width)

    def _of_runs(self, w: Tensor) -> Tensor:
        return w[self._slice] if self._slice is not None else w[self._run_index]


def _cumulated(sizes: Sequence[int]) -> list[int]:
    ends, total = [], 0
    for size in sizes:
        total += size
        ends.append(total)
    return ends
