"""Which test replies hang together: those of a dialogue, of a shop, and of seeds that split the same dialogues anew.

A simulator's seed is a world of its own, and its shops are shops like any other. On a corpus in files every seed deals
the same dialogues out to other shops: there a dialogue with all its replies of every seed is what can be drawn, and
the shops of two seeds are not two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecc_fed.core.rows import SampleRow
from ecc_fed.core.statistics import Units

# A run's seed and a row of it.
SeededRow = tuple[int, SampleRow]
# (seed, shop_id, pair_id): one query of one run of an arm.
QueryKey = tuple[int, str, str]


def seeded(rows: Mapping[QueryKey, SampleRow]) -> list[SeededRow]:
    """The rows with their seeds."""
    return [(key[0], row) for key, row in rows.items()]


def seeds_share_dialogues(rows: Sequence[SeededRow]) -> bool:
    """Whether most queries that stand under several seeds are the same there, with the same human reply.

    Most, not one: the short dialogues of two simulated worlds may agree by chance.
    """
    texts: dict[tuple[str, str], dict[int, tuple[str, str]]] = {}
    for seed, row in rows:
        texts.setdefault((row.session_id, row.pair_id), {})[seed] = (row.query, row.reference)
    several = [set(of_seed.values()) for of_seed in texts.values() if len(of_seed) > 1]
    return 2 * sum(len(of) == 1 for of in several) > len(several)


def units_of(rows: Sequence[SeededRow]) -> Units:
    """Shops of every seed and their dialogues; dialogues alone where seeds share them."""
    if seeds_share_dialogues(rows):
        return Units([0] * len(rows), [row.session_id for _, row in rows])
    return Units([(seed, row.shop_id) for seed, row in rows], [row.session_id for _, row in rows])


def drawn_text(rows: Sequence[SeededRow]) -> str:
    """What an interval over the rows draws, in words; empty for no rows."""
    if not rows:
        return ""
    units = units_of(rows)
    shops, dialogues = len(set(units.shops)), len(set(zip(units.shops, units.dialogues, strict=True)))
    if seeds_share_dialogues(rows):
        return f"{dialogues:,} dialogues that all seeds share"
    return (
        f"{dialogues:,} dialogues of one shop" if shops == 1 else f"{shops:,} shops and {dialogues:,} dialogues in them"
    )
