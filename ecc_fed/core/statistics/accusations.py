"""How many of those that are meant are found, where hardly anybody else may be accused (Carlini et al. 2022)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def true_positive_rate(scores: npt.ArrayLike, meant: npt.ArrayLike, false_positive_rate: float) -> float | None:
    """The share of the meant whose score lies above the lowest threshold that accuses at most so many others.

    Args:
        scores: of everybody, the higher the likelier meant.
        meant: whether they are, in the same order.
        false_positive_rate: of the others, at least 0 and below 1; with few of them, none may be accused.

    Returns:
        None without any that are meant, or any others.
    """
    values, yes = np.asarray(scores, dtype=np.float64), np.asarray(meant, dtype=bool)
    inside, outside = values[yes], np.sort(values[~yes])[::-1]
    if not len(inside) or not len(outside):
        return None
    # Of the others, descending, the first that may not be accused.
    threshold = outside[int(false_positive_rate * len(outside))]
    return float((inside > threshold).mean())
