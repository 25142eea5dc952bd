"""The reply most like all others: no text that no shop has said, and no model to make one.

Minimum Bayes risk over the shops' replies (Kumar and Byrne 2004), with chrF as the gain and the shops' weights as the
distribution; in other words their weighted medoid:

    r_k, w_k    shop k's reply and weight; a blank reply and a weight of 0 say nothing
    a(t)        sum_k w_k F(t, r_k) / sum_k w_k
    agreed      the r_k with the highest a; of equals the first by code points; none where a < `min_similarity`

What holds in one shop alone makes its replies unlike the others', so that a bound keeps some of it from being taught.

Sums are exact (`math.fsum`), so no order of the shops moves a bit. The work grows with the square of the different
replies to a query, not of the shops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import AgreedReply
from ecc_fed.federation.aggregation.weights import ByExamples, Weights
from ecc_fed.federation.agreement.chrf import pairwise_chrf


@dataclass(frozen=True, slots=True)
class Medoid:
    """Satisfies `core.protocols.Agreement`.

    Args:
        weights: how much each shop counts, as where adapters are averaged.
        min_similarity: below this the shops do not agree, 0 to 100; 0: the best will always do.

    Raises:
        ConfigError: `min_similarity` out of range.
    """

    weights: Weights = field(default_factory=ByExamples)
    min_similarity: float = 0.0

    def __post_init__(self) -> None:
        require_number("arm.agreement.min_similarity", self.min_similarity, 0, 100)

    def agree(self, queries: Sequence[str], updates: Sequence[AdapterUpdate]) -> tuple[AgreedReply, ...]:
        """Query by query; blank where nobody said anything, or where what was said is too unlike."""
        weights = self.weights(updates)
        found = (
            medoid(query, [update.replies[place] for update in updates], weights) for place, query in enumerate(queries)
        )
        return tuple(
            each if (each.similarity or 0) >= self.min_similarity else replace(each, reply="") for each in found
        )


def medoid(query: str, replies: Sequence[str], weights: Sequence[float]) -> AgreedReply:
    """The agreed reply of shops with these weights, 0 or more."""
    said: dict[str, list[float]] = {}
    for reply, weight in zip(replies, weights, strict=True):
        if reply.strip() and weight > 0:
            said.setdefault(reply, []).append(weight)
    if not said:
        return AgreedReply(query)
    texts = sorted(said)
    shares = [math.fsum(said[text]) for text in texts]
    total = math.fsum(shares)
    alike = [
        math.fsum(share * float(gain) for share, gain in zip(shares, gains, strict=True)) / total
        for gains in pairwise_chrf(texts)
    ]
    best = max(range(len(texts)), key=lambda place: (alike[place], -place))
    return AgreedReply(query, texts[best], alike[best], sum(map(len, said.values())))
