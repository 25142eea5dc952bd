"""What a device sees of a reply without any reference: how sure the model was, and how new the question is.

A second draw of the reply, and how alike the two are, would cost a generation and tells less than the margin of the
first one does; it is not drawn (experiments/router).
"""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.records import Pair
from ecc_fed.core.rows import Signals
from ecc_fed.evolution.nearest import NearestTexts

# A calibration's steps shall not hang on the last bits of a product.
_DECIMALS = 4


def signals_of(pairs: Sequence[Pair], margins: Sequence[float | None], known: Sequence[Pair]) -> list[Signals]:
    """One for each pair.

    Args:
        pairs: what was asked.
        margins: of the replies; None where no model was asked.
        known: the shop's own pairs so far; without any, nothing is measured by them.
    """
    index = NearestTexts([pair.query for pair in known])
    return [
        Signals(
            margin=None if margin is None else round(margin, _DECIMALS),
            distance=round(1 - float(index.similarities(pair.query).max()), _DECIMALS) if known else None,
        )
        for pair, margin in zip(pairs, margins, strict=True)
    ]
