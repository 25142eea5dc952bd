"""Which tokens did an update see? By the space that a low-rank factor's update spans (DAGER, arXiv 2405.15586).

A step over tokens t of a module y = W x + s B A x, with g_t = dL / dy_t, has the gradients

    dL/dA = s sum_t (B^T g_t) x_t^T        rows in span{x_t}; zero while B = 0
    dL/dB = s sum_t g_t (A x_t)^T          rows in span{A x_t}, columns in span{g_t}

Where x depends on the token alone, as in a decoder's first layer before positions enter, whoever knows the base tries
every token of the vocabulary: x_t of a token that was there lies in the row space if the ranks of the modules that read
it are together no less than the number of different tokens. In the last layer g_t is nearly a sum of rows of the output
head by p_t - onehot(label), so the head's row of a label lies near the columns of dL/dB, though A stays frozen.

| symbol | argument | shape | source |
|---|---|---|---|
| x_t, A x_t or head rows | `features` | (tokens, d) | of the public base |
| dL/dA, dL/dB, dL/dB^T | `updates` | (rows, d) each | of the upload |

One plain gradient step moves a factor along its gradient, so an update has the same spaces. AdamW's steps divide each
number by its own, and blur them: then features lie near the space, not in it, and are ranked by how near.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Singular values below this part of the greatest are rounding of fp32 sums.
TOLERANCE = 1e-6
# Of the features' second moment, so much of its mean eigenvalue is added before it is inverted.
RIDGE = 1e-4


def row_space(updates: Sequence[npt.ArrayLike], tolerance: float = TOLERANCE) -> Floats:
    """An orthonormal basis (rank, d) of the rows of all matrices (rows, d), each scaled to norm 1 first.

    Args:
        updates: matrices of one width; those that are zero say nothing.
        tolerance: directions whose singular value is less than this part of the greatest are left out.

    Raises:
        ValueError: no matrix, or values that are not finite.
    """
    if not updates:
        raise ValueError("a row space needs at least one matrix")
    matrices = [np.atleast_2d(np.asarray(update, dtype=np.float64)) for update in updates]
    if not all(np.isfinite(matrix).all() for matrix in matrices):
        raise ValueError("an update holds values that are not finite")
    norms = [float(np.linalg.norm(matrix)) for matrix in matrices]
    told = [matrix / norm for matrix, norm in zip(matrices, norms, strict=True) if norm > 0]
    if not told:
        return np.zeros((0, matrices[0].shape[1]))
    _, values, right = np.linalg.svd(np.concatenate(told), full_matrices=False)
    return np.asarray(right[values > tolerance * values[0]], dtype=np.float64)


def residuals(features: npt.ArrayLike, basis: Floats) -> Floats:
    """||x - P x|| / ||x|| of every row x (n, d), P the projection onto the rows of `basis` (rank, d): (n,), 0 to 1.

    1 where x is zero: nothing is told of it.
    """
    rows = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    outside = np.linalg.norm(rows - (rows @ basis.T) @ basis, axis=1)
    return np.where(lengths > 0, outside / np.where(lengths > 0, lengths, 1.0), 1.0)


def whitening(features: npt.ArrayLike, ridge: float = RIDGE) -> Floats:
    """C^(-1/2) (d, d) of the second moment C of the rows (n, d), for `in_metric`.

    What all features have in common is short afterwards, so that a space that holds a part of it is no longer near all
    of them. An invertible map moves spaces and features alike: what lay in a space still does.
    """
    rows = np.asarray(features, dtype=np.float64)
    moment = rows.T @ rows / len(rows)
    values, vectors = np.linalg.eigh(moment)
    floor = ridge * float(np.trace(moment)) / len(moment)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 0.0) + floor)) @ vectors.T, dtype=np.float64)


def span_residuals(features: npt.ArrayLike, updates: Sequence[npt.ArrayLike], metric: Floats | None = None) -> Floats:
    """How far every feature lies from what the updates span: (n,), near 0 for what they saw, 1 where they say nothing.

    Args:
        features: (n, d)
        updates: (rows, d) each.
        metric: of `whitening`; None: as they are.
    """
    rows = np.asarray(features, dtype=np.float64)
    if metric is None:
        return residuals(rows, row_space(updates))
    return residuals(
        rows @ metric, row_space([np.atleast_2d(np.asarray(each, np.float64)) @ metric for each in updates])
    )
