"""The reply most like all others: no text that no shop has said, and no model to make one.

Minimum Bayes risk over the shops' replies (Kumar and Byrne 2004), with chrF as the gain and the shops' weights as the
distribution; in other words their weighted medoid:

    r_k, w_k    shop k's reply and weight; a blank reply and a weight of 0 say nothing
    a(t)        sum_k w_k F(t, r_k) / sum_k w_k
    agreed      the r_k with the highest a; of equals the first by code points

Sums are exact (`math.fsum`), so no order of the shops moves a bit. The work grows with the square of the different
replies to a query, not of the shops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.records import AgreedReply
from ecc_fed.federation.aggregation.weights import ByExamples, Weights
from ecc_fed.federation.agreement.chrf import pairwise_chrf


@dataclass(frozen=True, slots=True)
class Medoid:
    """Satisfies `core.protocols.Agreement`.

    Args:
        weights: how much each shop counts, as where adapters are averaged.
    """

    weights: Weights = field(default_factory=ByExamples)

    def agree(self, queries: Sequence[str], updates: Sequence[AdapterUpdate]) -> tuple[AgreedReply, ...]:
        """Query by query; blank where nobody said anything."""
        weights = self.weights(updates)
        return tuple(
            medoid(query, [update.replies[place] for update in updates], weights) for place, query in enumerate(queries)
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
