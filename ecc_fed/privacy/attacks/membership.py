"""Was this pair trained on? By the likelihood of its reply (Yeom et al. 2018; ratio to the base: Carlini et al. 2021).

The score of a pair is the higher the more it looks like a member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def loss_score(nats: Sequence[float], tokens: Sequence[int]) -> Floats:
    """Minus the mean loss of the reply's tokens under the adapter."""
    return -np.asarray(nats, dtype=np.float64) / np.maximum(np.asarray(tokens, dtype=np.float64), 1.0)


def ratio_score(nats: Sequence[float], base_nats: Sequence[float], tokens: Sequence[int]) -> Floats:
    """By how much the adapter made the reply likelier than the base has it, a token: easy texts drop out."""
    gained = np.asarray(base_nats, dtype=np.float64) - np.asarray(nats, dtype=np.float64)
    return np.asarray(gained / np.maximum(np.asarray(tokens, dtype=np.float64), 1.0), dtype=np.float64)
