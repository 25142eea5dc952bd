"""How far averaging A and B apart lies from averaging B A.

    symbol   argument         range            source
    p_i      weights[i]       >= 0, sum > 0    here divided by their sum
    s_i      scales[i]        > 0              LoRA, Hu et al. 2021: W + s B A with s = lora_alpha / rank
    A_i      `lora_A` of i    (r_i, d_in)
    B_i      `lora_B` of i    (d_out, r_i)
    s, A, B  the aggregate's

The exact mean update is W* = sum_i p_i s_i B_i A_i; the relative error is ||s B A - W*||_F / ||W*||_F. Ranks
may differ. No d_out x d_in matrix is made where the ranks add up to no more than its smaller side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.aggregation import low_rank_pairs
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import normalised
from ecc_fed.federation.aggregation.low_rank import Factors, Matrix, stacked


@dataclass(frozen=True, slots=True)
class ProductError:
    """Relative error in all and by module.

    None where the mean product is zero and the aggregate's is not; `total` also where an adapter has
    no A and B, as a prefix.
    """

    total: float | None
    modules: Mapping[str, float | None]


# A product whose terms cancel to less than this share of the factors' norms is rounding, and counts as 0.
_ROUNDING = 1e-13


def _norms(mean: Factors, last_left: Matrix, last_right: Matrix) -> tuple[float, float]:
    """||mean||_F, and with `last_left` (d_out, r) `last_right` (r, d_in) added to it.

    Without the d_out x d_in product where the ranks are small.
    """
    left = np.concatenate([mean.left, last_left], axis=1)
    right = np.concatenate([mean.right, last_right], axis=0)
    m = mean.rank
    sizes = [mean.size, max(mean.size, Factors(left, right).size)]
    if mean.identity is not None:
        both = [mean.product(), mean.product() + last_left @ last_right]
    else:
        if left.shape[1] < left.shape[0]:
            # left = Q R with orthonormal Q, which leaves the norm alone: ||Q R right|| = ||R right||. Against the
            # Gram matrix (left^T left) this keeps full precision where the terms cancel.
            left = np.asarray(np.linalg.qr(left, mode="r"))
        both = [left[:, :m] @ right[:m], left @ right]
    norms = [float(np.linalg.norm(each)) for each in both]
    reference, error = (norm if norm > _ROUNDING * size else 0.0 for norm, size in zip(norms, sizes, strict=True))
    return reference, error


def _relative(error: float, reference: float) -> float | None:
    if reference > 0:
        return error / reference
    return 0.0 if error == 0 else None


def product_error(
    aggregate: AdapterState,
    aggregate_scale: float,
    states: Sequence[AdapterState],
    scales: Sequence[float],
    weights: Sequence[float],
) -> ProductError:
    """The relative error of `aggregate_scale` B A against the weighted mean of the shops' `scales[i]` B_i A_i.

    Tensors that are no pair of `lora_A` and `lora_B` matrices take no part.

    Raises:
        ValueError: as `normalised`.
    """
    # Relative to the aggregate's scale, so that a scale that all have in common changes no bit.
    shares = [p * (s / aggregate_scale) for p, s in zip(normalised(weights), scales, strict=True)]
    modules: dict[str, float | None] = {}
    errors, references = [], []
    for name_a, name_b in low_rank_pairs(aggregate):
        # (d_out, sum of r_i) and (sum of r_i, d_in): their product is the mean of B A. The aggregate comes last.
        mean = stacked(
            Factors(p * state[name_b].astype(np.float64), state[name_a].astype(np.float64))
            for p, state in zip(shares, states, strict=True)
        )
        reference, error = _norms(mean, -aggregate[name_b].astype(np.float64), aggregate[name_a].astype(np.float64))
        modules[name_a.split(".lora_A.")[0]] = _relative(error, reference)
        errors.append(error)
        references.append(reference)
    total = _relative(math.hypot(*errors), math.hypot(*references)) if modules else None
    return ProductError(total, modules)
