"""The server's arithmetic: pure functions on adapter states, without Flower.

    symbol   argument         range            source
    w_k      weights[k]       >= 0, sum > 0    examples of shop k (FedAvg, McMahan et al. 2017, Algorithm 1)
    A_k      `lora_A` of k    (r, d_in)        LoRA, Hu et al. 2021: W + (lora_alpha / r) B A
    B_k      `lora_B` of k    (d_out, r)

Averaging A and B apart is not averaging B A. `product_error` measures by how much:
||B* A* - sum_k w_k B_k A_k||_F / ||sum_k w_k B_k A_k||_F with the weights normalised to 1. The
scale lora_alpha / r is common to all shops and cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.core.records import AdapterState

Matrix = npt.NDArray[np.float64]


def normalised(weights: Sequence[float]) -> list[float]:
    """`weights` divided by their sum.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """
    total = math.fsum(weights)
    if not math.isfinite(total) or total <= 0 or min(weights) < 0:
        raise ValueError(f"weights {list(weights)} must be finite, at least 0, and not all 0")
    return [weight / total for weight in weights]


def weighted_mean(states: Sequence[AdapterState], weights: Sequence[float]) -> AdapterState:
    """The mean of every tensor, summed in fp64 in the order given, returned as fp32.

    The mean of one state is that state, bit for bit.

    Raises:
        ValueError: as `normalised`.
    """
    shares = normalised(weights)
    mean = {}
    for name, first in states[0].items():
        total = np.zeros(first.shape, np.float64)
        for state, share in zip(states, shares, strict=True):
            total += share * state[name].astype(np.float64)
        mean[name] = total.astype(np.float32)
    return mean


def update_norm(after: AdapterState, before: AdapterState) -> float:
    """L2 norm of `after - before` over all tensors."""
    return math.sqrt(math.fsum(float(np.sum((after[name].astype(np.float64) - before[name]) ** 2)) for name in after))


@dataclass(frozen=True, slots=True)
class ProductError:
    """Relative error of averaging A and B apart, in all and by module.

    None where the mean product is zero and the aggregate's is not; `total` also where an adapter has
    no A and B, as a prefix.
    """

    total: float | None
    modules: Mapping[str, float | None]


# A product whose terms cancel to less than this share of the factors' norms is rounding, and counts as 0.
_ROUNDING = 1e-13


def _product_norm(left: Matrix, right: Matrix, floor: float) -> float:
    norm = float(np.linalg.norm(left @ right))
    return norm if norm > floor else 0.0


def _norms(left: Matrix, right: Matrix, last: int) -> tuple[float, float]:
    """||left @ right||_F without the last `last` columns and rows, and with them.

    For left (d_out, m) and right (m, d_in), without the d_out x d_in product when m is small.
    """
    floors = [_ROUNDING * float(np.linalg.norm(left[:, :m]) * np.linalg.norm(right[:m])) for m in (-last, None)]
    if left.shape[1] < left.shape[0]:
        # left = Q R with orthonormal Q, which leaves the norm alone: ||Q R right|| = ||R right||. Against the
        # Gram matrix (left^T left) this keeps full precision where the terms cancel.
        left = np.asarray(np.linalg.qr(left, mode="r"))
    return _product_norm(left[:, :-last], right[:-last], floors[0]), _product_norm(left, right, floors[1])


def _relative(error: float, reference: float) -> float | None:
    if reference > 0:
        return error / reference
    return 0.0 if error == 0 else None


def product_error(aggregate: AdapterState, states: Sequence[AdapterState], weights: Sequence[float]) -> ProductError:
    """How far the aggregate's B A lies from the weighted mean of the shops' B A.

    Tensors that are no pair of `lora_A` and `lora_B` matrices take no part.

    Raises:
        ValueError: as `normalised`.
    """
    shares = normalised(weights)
    modules: dict[str, float | None] = {}
    errors, references = [], []
    for name_a, aggregate_a in aggregate.items():
        name_b = name_a.replace(".lora_A.", ".lora_B.")
        if name_b == name_a or name_b not in aggregate or aggregate_a.ndim != 2:
            continue
        # (d_out, shops * r) and (shops * r, d_in): their product is the weighted mean of B A. The aggregate comes last.
        lefts = [w * s[name_b].astype(np.float64) for w, s in zip(shares, states, strict=True)]
        left = np.concatenate([*lefts, -aggregate[name_b].astype(np.float64)], axis=1)
        right = np.concatenate([*(s[name_a] for s in states), aggregate_a], axis=0).astype(np.float64)
        reference, error = _norms(left, right, last=len(aggregate_a))
        modules[name_a.split(".lora_A.")[0]] = _relative(error, reference)
        errors.append(error)
        references.append(reference)
    total = _relative(math.hypot(*errors), math.hypot(*references)) if modules else None
    return ProductError(total, modules)
