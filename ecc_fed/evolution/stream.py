"""What of a shop's dialogues comes when, and who answered it: the same in every arm."""

from __future__ import annotations

import numpy as np

from ecc_fed.core.records import Pair, Shop
from ecc_fed.core.seeding import derive_rng


def human_answered(shop: Shop, human_share: float, seed: int) -> frozenset[str]:
    """Ids of the streamed pairs that a human agent answered as well, the same in every arm."""
    draws = derive_rng(seed, "human_answered", shop.shop_id).random(len(shop.stream))
    return frozenset(pair.pair_id for pair, draw in zip(shop.stream, draws, strict=True) if draw < human_share)


def natural_pairs(shop: Shop, human_share: float, seed: int) -> tuple[Pair, ...]:
    """All pairs of the shop that its device may learn from as they are, in time order."""
    human = human_answered(shop, human_share, seed)
    return (*shop.history, *(pair for pair in shop.stream if pair.pair_id in human))


def stream_part(shop: Shop, part: int, num_parts: int) -> tuple[Pair, ...]:
    """Part `part` (from 0) of the stream cut into `num_parts` consecutive, nearly equal parts."""
    bounds = np.linspace(0, len(shop.stream), num_parts + 1).round().astype(int)
    return shop.stream[bounds[part] : bounds[part + 1]]
