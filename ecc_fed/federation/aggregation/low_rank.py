"""Mean products of low-rank pairs without their d_out x d_in matrix: stacked factors, and their SVD.

    symbol   argument   shape            source
    p_i      shares     sum is 1         how much shop i counts
    s_i                                  lora_alpha / rank (LoRA), lora_alpha / sqrt(rank) (rsLoRA), of shop i
    W*                  (d_out, d_in)    sum_i p_i s_i B_i A_i = left right
    left                (d_out, m)       [p_1 s_1 B_1, p_2 s_2 B_2, ...], m the sum of the ranks
    right               (m, d_in)        [A_1; A_2; ...]

left = Q_l R_l and right^T = Q_r R_r, so W* = Q_l (R_l R_r^T) Q_r^T: the SVD of the small core R_l R_r^T is that of W*
(the best approximation of every rank: Eckart & Young 1936). All in fp64. A stack wider than the smaller side of W* is
multiplied out, and what comes after it added to that, a quarter of the side at a time: W* is then the smaller of the
two, and memory does not grow with the number of updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecc_fed.core.aggregation import AdapterUpdate, low_rank_pairs
from ecc_fed.core.records import AdapterState, Array

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Factors:
    """A matrix `left` (d_out, m) `right` (m, d_in); `identity` says which of them is one, if any is.

    `multiplied`: how large the terms were of which it was made then: what is left of them is exact to that.
    """

    left: Matrix
    right: Matrix
    identity: Literal["left", "right"] | None = None
    multiplied: float = 0.0

    @property
    def rank(self) -> int:
        """m."""
        return len(self.right)

    @property
    def side(self) -> int:
        """The smaller side of the matrix."""
        return int(min(len(self.left), self.right.shape[1]))

    @property
    def size(self) -> float:
        """How large its terms are: at least its norm."""
        if self.identity is not None:
            return self.multiplied
        return float(np.linalg.norm(self.left) * np.linalg.norm(self.right))

    def product(self) -> Matrix:
        """The matrix itself, (d_out, d_in)."""
        if self.identity is not None:
            return self.right if self.identity == "left" else self.left
        return self.left @ self.right


def whole(matrix: Matrix, size: float) -> Factors:
    """A matrix as factors no wider than its smaller side; `size` is that of the terms it was made of."""
    d_out, d_in = matrix.shape
    if d_out <= d_in:
        return Factors(np.eye(d_out), matrix, "left", size)
    return Factors(matrix, np.eye(d_in), "right", size)


@dataclass(frozen=True, slots=True)
class Svd:
    """left (d_out, k), singular values (k,) falling, right (k, d_in), with orthonormal columns and rows."""

    left: Matrix
    values: Matrix
    right: Matrix


def stacked(parts: Iterable[Factors]) -> Factors:
    """The sum of the parts, at least one: side by side, or multiplied out where that is smaller."""
    waiting: list[Factors] = []
    width, total, size = 0, None, 0.0
    for part in parts:
        waiting.append(part)
        width += part.rank
        if width > (part.side if total is None else part.side // 4):
            joined = _joined(waiting)
            # The first product may be a part's own matrix, which stays as it is.
            total = joined.product() if total is None else total + joined.product()
            waiting, width, size = [], 0, size + joined.size
    if total is None:
        return _joined(waiting)
    if waiting:
        joined = _joined(waiting)
        total, size = total + joined.product(), size + joined.size
    return whole(total, size)


def _joined(parts: Sequence[Factors]) -> Factors:
    if len(parts) == 1:
        return parts[0]
    return Factors(
        np.concatenate([part.left for part in parts], axis=1), np.concatenate([part.right for part in parts], axis=0)
    )


def weighted_parts(
    updates: Sequence[AdapterUpdate], shares: Sequence[float], names: tuple[str, str]
) -> Iterator[Factors]:
    """p_i s_i B_i and A_i of the module with these `names` of A and B, for every shop that counts."""
    name_a, name_b = names
    for update, share in zip(updates, shares, strict=True):
        if share:
            left = share * update.scale * update.adapter[name_b].astype(np.float64)
            yield Factors(left, update.adapter[name_a].astype(np.float64))


def mean_products(
    updates: Sequence[AdapterUpdate], shares: Sequence[float]
) -> Iterator[tuple[tuple[str, str], Factors]]:
    """Module by module, the names of A and B, and W*."""
    for names in low_rank_pairs(updates[0].adapter):
        yield names, stacked(weighted_parts(updates, shares, names))


def svd(factors: Factors) -> Svd:
    """The singular value decomposition of left right; k is at most m and the smaller side."""
    if factors.identity is not None:
        return Svd(*np.linalg.svd(factors.product(), full_matrices=False))
    q_left, r_left = np.linalg.qr(factors.left)
    q_right, r_right = np.linalg.qr(factors.right.T)
    u, values, vt = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
    return Svd(q_left @ u, values, vt @ q_right.T)


def energy_rank(values: Matrix, energy: float) -> int:
    """The least rank, at least 1, that keeps `energy` (0 to 1) of the sum of squared singular values."""
    kept = np.cumsum(values**2)
    # Rounding may leave the last sum of all just short of it.
    wanted = energy * kept[-1] * (1 - 1e-12)
    return int(np.searchsorted(kept, wanted)) + 1 if kept[-1] > 0 else 1


def best_pair(found: Svd, rank: int, scale: float) -> tuple[Array, Array]:
    """A (rank, d_in) = V^T and B (d_out, rank) = U S / scale, in fp32: scale B A is the best of this rank.

    Where the matrix is smaller than `rank`, zeros fill up.
    """
    a = _padded(found.right[:rank], rank)
    b = _padded((found.left[:, :rank] * (found.values[:rank] / scale)).T, rank).T
    return a.astype(np.float32), np.ascontiguousarray(b, np.float32)


def _padded(rows: Matrix, count: int) -> Matrix:
    return np.pad(rows, ((0, count - len(rows)), (0, 0)))


def cut(adapter: AdapterState, rank: int, factor: float) -> AdapterState:
    """The first `rank` rows of every A and columns of every B, B multiplied by `factor`; zeros where it has fewer."""
    fitted = {}
    for name_a, name_b in low_rank_pairs(adapter):
        fitted[name_a] = _padded(adapter[name_a][:rank].astype(np.float64), rank).astype(np.float32)
        b = _padded(factor * adapter[name_b][:, :rank].T.astype(np.float64), rank)
        fitted[name_b] = np.ascontiguousarray(b.T, np.float32)
    return fitted
