"""Products of rows with adapters that they look up, of the same shapes whichever these are, as captured steps need."""

from __future__ import annotations

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.groups import Groups


class EveryRow(Groups):
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
