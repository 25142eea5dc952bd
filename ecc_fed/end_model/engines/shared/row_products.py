"""Products of packed rows with the adapters that they meet: what `Groups` has, and rows that look theirs up.

These have the same shapes whichever adapters they meet, as a captured step must.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class RowProducts(Protocol):
    """Packed rows that each meet one of a bank's matrices."""

    sizes: Sequence[int]

    def expand(self, values: Tensor) -> Tensor:
        """values (bank rows,) -> (packed rows, 1): the value of every row's bank row."""
        ...

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """x_i w^T: x (N, d), w (bank rows, e, d) -> (N, e)."""
        ...

    def add_back(self, x: Tensor, h: Tensor, w: Tensor) -> None:
        """x_i += h_i w in place: x (N, d), h (N, e), w (bank rows, e, d)."""
        ...

    def outer(self, h: Tensor, x: Tensor, out: Tensor) -> None:
        """The sum of h_i^T x_i over each group's rows: h (N, e), x (N, d) -> out (groups, e, d)."""
        ...


class EveryRow:
    """Rows that each meet the bank row that `index` (N,) names, which is read on the device and may be changed there.

    Only for rows that are not trained.
    """

    def __init__(self, index: Tensor) -> None:
        self.index, self.sizes = index, [1] * len(index)

    def expand(self, values: Tensor) -> Tensor:
        """values (bank rows,) -> (packed rows, 1): the value of every row's bank row."""
        return values[self.index][:, None]

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """x_i w^T: x (N, d), w (bank rows, e, d) -> (N, e)."""
        return torch.bmm(w[self.index], x[:, :, None])[:, :, 0]

    def add_back(self, x: Tensor, h: Tensor, w: Tensor) -> None:
        """x_i += h_i w in place: x (N, d), h (N, e), w (bank rows, e, d)."""
        x += torch.bmm(h[:, None], w[self.index])[:, 0]

    def outer(self, h: Tensor, x: Tensor, out: Tensor) -> None:
        """Not made for training.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("rows that look up their adapter are not trained")
