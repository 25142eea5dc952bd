"""Was this pair trained on? By the likelihood of its reply.

Loss: Yeom et al. 2018; ratio to the base: Carlini et al. 2021; Min-K%: Shi et al. 2024, Eq. (1). `lira` has one more.

The score of a pair is the higher the more it looks like a member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MIN_K_SHARE = 0.2
Floats = npt.NDArray[np.float64]


def loss_score(nats: Sequence[float], tokens: Sequence[int]) -> Floats:
    """Minus the mean loss of the reply's tokens under the adapter."""
    return -np.asarray(nats, dtype=np.float64) / np.maximum(np.asarray(tokens, dtype=np.float64), 1.0)


def ratio_score(nats: Sequence[float], base_nats: Sequence[float], tokens: Sequence[int]) -> Floats:
    """By how much the adapter made the reply likelier than the base has it, a token: easy texts drop out."""
    gained = np.asarray(base_nats, dtype=np.float64) - np.asarray(nats, dtype=np.float64)
    return np.asarray(gained / np.maximum(np.asarray(tokens, dtype=np.float64), 1.0), dtype=np.float64)


def min_k_score(token_nats: Sequence[Sequence[float]], share: float = MIN_K_SHARE) -> Floats:
    """Minus the mean loss of each reply's least likely tokens, `share` of them and one at least.

    Args:
        token_nats: -log p of every token of each reply.
        share: above 0, at most 1; with 1 it is `loss_score`.

    Raises:
        ValueError: a reply without tokens.
    """
    scores = []
    for each in token_nats:
        worst = np.sort(np.asarray(each, dtype=np.float64))[::-1]
        if not len(worst):
            raise ValueError("Min-K% needs the loss of every token; the end model told none")
        scores.append(-float(worst[: max(1, int(share * len(worst)))].mean()))
    return np.asarray(scores, dtype=np.float64)
