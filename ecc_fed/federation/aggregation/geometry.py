"""Lengths of, and distances between, what shops add to the base: of products, whatever their factors.

Shop i adds W_i = s_i B_i A_i to every module. Other A and B with the same product are the same shop, so nothing here
compares factors. No W_i is made:

    <W_i, W_j> = s_i s_j sum_ab (B_i^T B_j)_ab (A_i A_j^T)_ab

needs r_i x r_j matrices only. Tensors that are no pair (a prefix, DoRA's magnitudes, a factor whose other half stayed
at home) count as they are. All in fp64, summed over modules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecc_fed.core.aggregation import AdapterUpdate, low_rank_pairs
from ecc_fed.core.records import AdapterState, Array

Matrix = npt.NDArray[np.float64]


def unpaired(adapter: AdapterState) -> list[str]:
    """The tensors that belong to no low-rank pair."""
    paired = {name for pair in low_rank_pairs(adapter) for name in pair}
    return [name for name in adapter if name not in paired]


def inner_products(updates: Sequence[AdapterUpdate]) -> Matrix:
    """<W_i, W_j> (updates, updates)."""
    first = updates[0].adapter
    total = np.zeros((len(updates), len(updates)))
    for name_a, name_b in low_rank_pairs(first):
        a = [update.adapter[name_a].astype(np.float64) for update in updates]
        b = [update.scale * update.adapter[name_b].astype(np.float64) for update in updates]
        starts = np.cumsum([0, *(len(each) for each in a[:-1])])
        # (sum of ranks, sum of ranks); each shop's rows meet each shop's columns in one block.
        grams = _gram(np.concatenate(b, axis=1).T) * _gram(np.concatenate(a))
        total += np.add.reduceat(np.add.reduceat(grams, starts, axis=0), starts, axis=1)
    for name in unpaired(first):
        total += _gram(np.stack([update.adapter[name].astype(np.float64).ravel() for update in updates]))
    return total


def _gram(rows: Matrix) -> Matrix:
    product: Matrix = rows @ rows.T
    return product


def squared_distances(inner: Matrix) -> Matrix:
    """||W_i - W_j||^2 from `inner_products`; what rounding leaves below zero is zero."""
    norms = np.diag(inner)
    distances: Matrix = np.maximum(norms[:, None] + norms[None, :] - 2 * inner, 0.0)
    np.fill_diagonal(distances, 0.0)
    return distances


def norms(updates: Sequence[AdapterUpdate]) -> Matrix:
    """||W_i|| (updates,), one after another."""
    return np.array([float(max(inner_products([update])[0, 0], 0.0)) ** 0.5 for update in updates])


def scaled(adapter: AdapterState, factor: float) -> AdapterState:
    """The adapter that adds `factor` W: every pair by its B, other tensors as they are; in fp64, kept as fp32."""
    factors_a = {name_a for name_a, _ in low_rank_pairs(adapter)}

    def times(tensor: Array) -> Array:
        return (factor * tensor.astype(np.float64)).astype(np.float32)

    return {name: tensor if name in factors_a else times(tensor) for name, tensor in adapter.items()}
