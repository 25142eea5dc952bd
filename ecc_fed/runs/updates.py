"""What the server learned of every shop in every round, and what it made of their replies, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecc_fed.core.rows import AgreedRow, UpdateRow
from ecc_fed.federation.results import RoundRecord


def update_rows(rounds: Sequence[RoundRecord]) -> Iterator[UpdateRow]:
    """By round, and within it in shop order."""
    for record in rounds:
        for shop_id, shop in record.shops.items():
            yield UpdateRow(
                record.server_round, shop_id, shop.num_examples, shop.update_norm, shop.norm_ratio, shop.flags
            )


def agreed_rows(rounds: Sequence[RoundRecord]) -> Iterator[AgreedRow]:
    """By round, and within it in the queries' order."""
    for record in rounds:
        for each in record.agreed:
            yield AgreedRow(record.server_round, each.query, each.reply, each.similarity, each.voices)
