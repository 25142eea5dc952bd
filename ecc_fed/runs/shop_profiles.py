"""How much a shop has to learn from, and how unlike the others' its dialogues are.

Measured by the simulation, which sees all shops; no shop and no server of a federation could.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecc_fed.core.records import Pair, Shop
from ecc_fed.core.rows import ShopProfile
from ecc_fed.core.seeding import derive_rng
from ecc_fed.core.statistics import unlikeness
from ecc_fed.core.statistics.units import Indices
from ecc_fed.evolution.stream import natural_pairs

# One more than the last code point, so that two of them make one number.
_CODE_POINTS = 0x110000


def shop_profiles(shops: Sequence[Shop], human_share: float, seed: int) -> dict[str, ShopProfile]:
    """A profile for every shop, from the pairs that its device may learn from: queries and human replies.

    Args:
        shops: all shops of the run.
        human_share: of the stream that human agents answer, as `natural_pairs` takes it.
        seed: the run's.
    """
    training = [natural_pairs(shop, human_share, seed) for shop in shops]
    bigrams = [_bigrams(pairs) for pairs in training]
    everything = np.concatenate([np.empty(0, dtype=np.int64), *bigrams])
    numbered = np.unique(everything, return_inverse=True)[1].reshape(-1)
    parts = np.split(numbered, np.cumsum([len(part) for part in bigrams])[:-1])
    unlike = unlikeness(parts, derive_rng(seed, "unlikeness")) if shops else []
    return {
        shop.shop_id: ShopProfile(len(pairs), figure)
        for shop, pairs, figure in zip(shops, training, unlike, strict=True)
    }


def _bigrams(pairs: Sequence[Pair]) -> Indices:
    """Every two neighbouring characters within a query or a reply, as one number."""
    found = [np.empty(0, dtype=np.int64)]
    for pair in pairs:
        for text in (pair.query, pair.reply):
            codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
            found.append(codes[:-1] * _CODE_POINTS + codes[1:])
    return np.concatenate(found)
