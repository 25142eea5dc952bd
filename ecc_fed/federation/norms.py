"""Which updates of a round stand out by their size: a rule on norms against their median.

    symbol   argument             range      source
    n_i      `norms[i]`           >= 0       L2 norm of shop i's update in this round
    m                                        median of all n_i, which less than half of the shops cannot move far
    k        `norm_factor`        > 1        declared: `replies.norm_factor`

Update i is too large where n_i > k m. What a shop was sent is subtracted first; where nothing was sent (a first
round, in which all shops start alike), the norm is that of the adapter itself, and those have a median of their own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import update_norm


def update_norms(updates: Sequence[AdapterUpdate], sent: Mapping[str, AdapterState]) -> dict[str, float | None]:
    """By shop, the norm of its update minus what it was sent of the same tensors; None where that was not sent."""
    norms: dict[str, float | None] = {}
    for update in updates:
        before = sent.get(update.shop_id, {})
        same = all(name in before and before[name].shape == each.shape for name, each in update.adapter.items())
        norms[update.shop_id] = update_norm(update.adapter, before) if same else None
    return norms


def norm_ratios(updates: Sequence[AdapterUpdate], norms: Mapping[str, float | None]) -> dict[str, float]:
    """n_i / m, by shop; a shop without examples has none, and no shop has one where m is 0."""
    learned = [update for update in updates if update.num_examples]
    moved = {update.shop_id: norm for update in learned if (norm := norms[update.shop_id]) is not None}
    first = {update.shop_id: _size(update.adapter) for update in learned if norms[update.shop_id] is None}
    return {**_to_median(moved), **_to_median(first)}


def _size(adapter: AdapterState) -> float:
    return math.sqrt(math.fsum(float((tensor.astype(float) ** 2).sum()) for tensor in adapter.values()))


def _to_median(norms: Mapping[str, float]) -> dict[str, float]:
    median = statistics.median(norms.values()) if norms else 0.0
    return {shop_id: norm / median for shop_id, norm in norms.items()} if median else {}
