"""How far a planted secret stands out among others that might have been planted (Carlini et al. 2019, Sec. 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def exposure_bits(secret_nats: float, other_nats: Sequence[float]) -> float:
    """log2 of how many candidates there are, less log2 of the secret's rank among them by likelihood.

    Args:
        secret_nats: -log p of the text with the secret.
        other_nats: the same of the texts with candidates that were drawn alike and never planted.

    Returns:
        Bits, 0 to log2(1 + others): about 1.4 in the mean for a secret that nobody ever learned. Ties count half.
    """
    others = np.asarray(other_nats, dtype=np.float64)
    rank = 1.0 + float((others < secret_nats).sum()) + 0.5 * float((others == secret_nats).sum())
    return math.log2(1 + len(others)) - math.log2(rank)
