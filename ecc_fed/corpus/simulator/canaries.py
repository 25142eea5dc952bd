"""Planted secrets: whoever gets them out of an adapter has shown what it remembers (Carlini et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal

from ecc_fed.core.records import Pair
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Canary, Truth

DIGITS = 8
CanaryPlace = Literal["reply", "query"]
_SLOT = "{secret}"


def plant(
    shop_id: str, repeats: Sequence[int], place: CanaryPlace, identity: Mapping[str, str], seed: int
) -> tuple[list[Pair], dict[str, Truth]]:
    """Pairs for the beginning of a shop's history: one secret for each number in `repeats`, said so often.

    Args:
        shop_id: whose.
        repeats: how often each secret is said, each in a dialogue of its own.
        place: "reply": the agent says it, and training teaches it; "query": the customer does, where no loss falls.
        identity: the pack's texts.
        seed: of the corpus.

    Returns:
        The pairs, and what is true of them.
    """
    pairs, truth = [], {}
    asked, told = (identity["canary_ask"], identity["canary_reply"])
    if place == "query":
        asked, told = (identity["canary_told"], identity["canary_thanks"])
    for number, count in enumerate(repeats):
        secret = draw_secret(Random(derive_seed(seed, "canary", shop_id, number)))
        for time in range(count):
            name = f"{shop_id}/canary{number}/{time:05d}"
            query, reply = (text.replace(_SLOT, secret) for text in (asked, told))
            pairs.append(Pair(name, name, shop_id, (), query, reply))
            truth[name] = Truth(canary=Canary(secret, count, place))
    return pairs, truth


def draw_secret(rng: Random) -> str:
    """One of 10^8."""
    return "".join(str(rng.randrange(10)) for _ in range(DIGITS))
