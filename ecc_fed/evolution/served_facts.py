"""How right a shop's replies were as its stream was served: told by the simulation, after the fact."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.facts import states_all
from ecc_fed.core.records import Pair
from ecc_fed.core.rows import ServedFacts
from ecc_fed.core.truth import ShopTruth


def served_facts(pairs: Sequence[Pair], replies: Sequence[str], truth: ShopTruth) -> ServedFacts | None:
    """Counts over one cycle; None where no query is known to ask for a fact.

    Args:
        pairs: that were served.
        replies: to them, in their order.
        truth: of the shop's pairs.
    """
    told = [truth[pair.pair_id].facts if pair.pair_id in truth else () for pair in pairs]
    asked = [(facts, states_all(reply, facts)) for facts, reply in zip(told, replies, strict=True) if facts]
    if not asked:
        return None
    # A value of the very first day is no change: it is what a fact that will change begins with.
    changed = [right for facts, right in asked if any(fact.since for fact in facts)]
    return ServedFacts(len(asked), sum(right for _, right in asked), len(changed), sum(changed))
