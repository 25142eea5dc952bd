"""A bound on what one shop may add (after Sun et al. 2019, "Can you really backdoor federated learning?", Sec. 4).

    symbol   argument          range      source
    n_i                        >= 0       ||W_i||, W_i = s_i B_i A_i: all that shop i adds to the base
    m                                     median of n_i over the round's shops that had examples
    k        `times_median`    > 0        declared; the paper has a fixed bound, which nobody knows beforehand

W_i counts as W_i min(1, k m / n_i). The norm is the product's: blowing up A and shrinking B, or the reverse, changes
nothing; so the mean is best one of products too (`FlexLora`). A bound limits how far a lie reaches and not which way it
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, AggregatorState
from ecc_fed.core.ranges import require_number
from ecc_fed.federation.aggregation.geometry import norms, scaled
from ecc_fed.federation.aggregation.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class NormBound(Wrapper):
    """Shortens what stands out, before the mean.

    Args:
        times_median: the bound, in medians of the round's norms.
    """

    times_median: float = 1.0

    def __post_init__(self) -> None:
        require_number("strategy.times_median", self.times_median, 1e-6)

    @property
    def single_updates(self) -> bool:
        """Measures each."""
        return True

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """What the mean makes of the updates within the bound. Its error is to the mean of these."""
        found = norms(updates)
        learned = [norm for norm, update in zip(found, updates, strict=True) if update.num_examples]
        bound = self.times_median * float(np.median(learned))
        within = [
            update if norm <= bound else replace(update, adapter=scaled(update.adapter, bound / norm))
            for norm, update in zip(found, updates, strict=True)
        ]
        after, report = self.mean.aggregate(state, within)
        flags = {update.shop_id: "shortened" for norm, update in zip(found, updates, strict=True) if norm > bound}
        return after, replace(report, flags={**report.flags, **flags})
