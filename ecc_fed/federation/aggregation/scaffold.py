"""SCAFFOLD (Karimireddy et al. 2020, Algorithm 1, option II), around any mean of factors.

    symbol   argument         is
    S                         the shops of a round that had examples, of N in the run
    x        `mean`           x + mean of (y_i - x): the mean of the adapters; the server's own rate is 1
    c        state.control    c + (1 / N) sum over S of (c_i+ - c_i)

The shops' side, and what becomes of the variates where the optimizer is Adam: `core.control_variates`. A shop's c_i
stays with it, and its change alone goes up: as many bytes again as the adapter's, either way. Where the server refuses
a reply, c is no longer the mean of all c_i; later rounds do not make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, AggregatorState, Exchange, tensor_bytes
from ecc_fed.core.control_variates import moved
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.steady import check_steady
from ecc_fed.federation.aggregation.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Scaffold(Wrapper):
    """The mean, and beside it the variates. With those at zero it is the mean alone.

    Args:
        mean: of the adapters; `Uniform` weights are the paper's. As `check_steady` has it: a variate is kept number by
            number of A and B.

    Raises:
        ConfigError: a mean whose factors are turned, or of clusters.
    """

    def __post_init__(self) -> None:
        check_steady(type(self).__name__, self.mean)

    @property
    def mixed_ranks(self) -> bool:
        """The shops' changes are added up, tensor by tensor."""
        return False

    def exchange(self, server_round: int) -> Exchange:
        """As the mean, and the variates of what trains and goes up."""
        return replace(self.mean.exchange(server_round), control=True)

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The mean of the adapters, and c after the changes of those that learned."""
        after, report = self.mean.aggregate(state, [replace(update, control={}) for update in updates])
        total: dict[str, np.ndarray] = {}
        for update in updates:
            for name, tensor in update.control.items() if update.num_examples else ():
                total[name] = total.get(name, np.zeros(tensor.shape)) + tensor.astype(np.float64)
        change: AdapterState = total
        control = moved(state.control, change, 1 / max(state.num_shops, len(updates)))
        sent = {u.shop_id: tensor_bytes(u.adapter) + tensor_bytes(u.control) for u in updates}
        return replace(after, control=control, num_shops=state.num_shops), replace(report, update_bytes=sent)
