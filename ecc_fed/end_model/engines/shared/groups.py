"""Products of packed rows with a matrix for each group: the small LoRA products of many shops at once.

The rows (tokens) of group g are contiguous and meet group g's matrix. Two ways to compute the same:
a loop over groups (best on a CPU once groups have a few rows), and one batched product over groups
padded to equal size (few launches: best on a GPU, and for groups of one or two rows).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.engines.shared.uploads import upload


class Groups:
    """Packed rows split into groups.

    Args:
        rows: the bank row that holds group g's matrices, for every g.
        sizes: how many packed rows group g has; all at least 1.
        device: where the packed rows are.
        loop: True or False forces one of the two ways; None takes the better.
    """

    def __init__(
        self, rows: Sequence[int], sizes: Sequence[int], device: torch.device, loop: bool | None = None
    ) -> None:
        self.rows = list(rows)
        self.sizes = list(sizes)
        self.total = sum(sizes)
        self.loop = plan_for(device).loops_over(len(sizes), self.total) if loop is None else loop
        self.prefix = self.rows == list(range(len(self.rows)))
        self.index = upload(self.rows, device)
        self.counts = upload(self.sizes, device)
        self.longest = max(sizes)
        self.equal = min(sizes) == self.longest
        if not self.loop and not self.equal:
            places = [g * self.longest + i for g, size in enumerate(sizes) for i in range(size)]
            self.places = upload(places, device)

    def expand(self, values: Tensor) -> Tensor:
        """values (bank rows,) -> (packed rows, 1): the value of every row's group."""
        return values[self.index].repeat_interleave(self.counts, output_size=self.total)[:, None]

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """x_g w_g^T: x (N, d), w (bank rows, e, d) -> (N, e)."""
        if not self.loop:
            return self._unpad(torch.bmm(self._pad(x), self._take(w).transpose(1, 2)))
        # Held transposed: with so few columns BLAS is nearly twice as fast this way round.
        y = x.new_empty(w.shape[1], self.total)
        for matrix, part, out in zip(self._matrices(w), self._columns(x.t()), self._columns(y), strict=True):
            torch.mm(matrix, part, out=out)
        return y.t()

    def add_back(self, x: Tensor, h: Tensor, w: Tensor) -> None:
        """x_g += h_g w_g in place: x (N, d), h (N, e), w (bank rows, e, d)."""
        if not self.loop:
            x += self._unpad(torch.bmm(self._pad(h), self._take(w)))
            return
        for part, small, matrix in zip(self._parts(x), self._parts(h), self._matrices(w), strict=True):
            part.addmm_(small, matrix)

    def back(self, h: Tensor, w: Tensor) -> Tensor:
        """h_g w_g: h (N, e), w (bank rows, e, d) -> (N, d)."""
        x = h.new_zeros(self.total, w.shape[2])
        self.add_back(x, h, w)
        return x

    def outer(self, h: Tensor, x: Tensor, out: Tensor) -> None:
        """out_g = h_g^T x_g: h (N, e), x (N, d) -> out (groups, e, d)."""
        if not self.loop:
            out.copy_(torch.bmm(self._pad(h).transpose(1, 2), self._pad(x)))
            return
        for small, part, product in zip(self._columns(h.t()), self._parts(x), out.unbind(), strict=True):
            torch.mm(small, part, out=product)

    def new_hidden(self, like: Tensor, width: int) -> Tensor:
        """Room for (N, width) numbers, columns contiguous, as the loop reads them."""
        return like.new_empty(width, self.total).t()

    # All views of one kind come from one call: one call a view takes as long as the products.
    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split_with_sizes(self.sizes)

    def _columns(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split_with_sizes(self.sizes, 1)

    def _matrices(self, w: Tensor) -> list[Tensor]:
        matrices = w.unbind()
        return [matrices[row] for row in self.rows]

    def _take(self, w: Tensor) -> Tensor:
        return w[: len(self.rows)] if self.prefix else w[self.index]

    def _pad(self, x: Tensor) -> Tensor:
        """(N, d) -> (groups, longest, d), zeros behind each group's rows."""
        if self.equal:
            return x.reshape(len(self.sizes), self.longest, -1)
        padded = x.new_zeros(len(self.sizes) * self.longest, x.shape[1])
        padded[self.places] = x
        return padded.view(len(self.sizes), self.longest, -1)

    def _unpad(self, padded: Tensor) -> Tensor:
        flat = padded.reshape(-1, padded.shape[-1])
        return flat if self.equal else flat[self.places]
