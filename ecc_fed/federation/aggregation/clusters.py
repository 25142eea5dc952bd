"""Averages within groups of shops that have learned alike (after Sattler et al. 2020 and FedLEASE, NeurIPS 2025).

    symbol   argument          range      source
    W_i                                   s_i B_i A_i, all that shop i adds to the base
    d_ij                       0 to 2     1 - <W_i, W_j> / (||W_i|| ||W_j||); 1 where one of them is zero
    k        `num_clusters`    >= 1       as many groups are made, or
    t        `max_distance`    0 to 2     as many as it takes for no two groups to be nearer than t

Groups are found once, in the first round that has updates, from what each shop has learned by itself from the one
fresh adapter: single shops, of which the two nearest groups become one again and again (average linkage: the mean d_ij
over their pairs). Then they stay, since members of a group start alike from there on. A shop that comes later joins the
group to whose adapter it is nearest. Distances are those of products: FedLEASE compares B alone, which has a meaning as
long as A has hardly moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, AggregateReport, AggregatorState, Exchange
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require, require_number
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.geometry import Matrix, inner_products
from ecc_fed.federation.aggregation.report import report_on
from ecc_fed.federation.aggregation.weights import ByExamples, Weights

# Before a shop's name, of the scalar that says its group.
_OF = "cluster/"


def cosine_distances(inner: Matrix) -> Matrix:
    """d_ij from inner products (n, n)."""
    norms = np.sqrt(np.maximum(np.diag(inner), 0.0))
    both = np.outer(norms, norms)
    cosines: Matrix = np.divide(inner, both, out=np.zeros_like(inner), where=both > 0)
    distances: Matrix = 1.0 - np.clip(cosines, -1.0, 1.0)
    return distances


def grouped(distances: Matrix, num_clusters: int, max_distance: float) -> list[list[int]]:
    """Groups of indices by average linkage, in the order of their first members.

    Merging stops at `num_clusters` groups, and before two groups that are `max_distance` or more apart. Of pairs
    equally near, the first in order is merged.
    """
    groups = [[index] for index in range(len(distances))]
    apart = distances.copy()
    apart[np.tril_indices(len(apart))] = np.inf
    while len(groups) > num_clusters:
        first, second = divmod(int(np.argmin(apart)), len(apart))
        if apart[first, second] >= max_distance:
            break
        # The mean over the pairs of the joined group and another (Lance & Williams 1967).
        sizes = len(groups[first]), len(groups[second])
        both = np.minimum(apart, apart.T)
        joined = (sizes[0] * both[first] + sizes[1] * both[second]) / sum(sizes)
        apart[first, first + 1 :], apart[:first, first] = joined[first + 1 :], joined[:first]
        apart = np.delete(np.delete(apart, second, axis=0), second, axis=1)
        groups[first] = sorted(groups[first] + groups.pop(second))
    return groups


@dataclass(frozen=True, slots=True)
class Clusters:
    """Every shop is sent the mean of its group. The report is on the mean of all, which a shop of no group is sent.

    Args:
        num_clusters: how many groups; null: as `max_distance` has it.
        max_distance: groups as far apart, or farther, stay two; null: as `num_clusters` has it.
        weights: how much each shop counts in its group.
    """

    num_clusters: int | None = 2
    max_distance: float | None = None
    weights: Weights = field(default_factory=ByExamples)
    mixed_ranks: ClassVar[bool] = False
    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if (self.num_clusters is None) == (self.max_distance is None):
            raise ConfigError(
                f"strategy.num_clusters={self.num_clusters} and strategy.max_distance={self.max_distance}: give one of "
                "the two, and null for the other."
            )
        require(
            self.num_clusters is None or self.num_clusters >= 1, "strategy.num_clusters", self.num_clusters, "1 or more"
        )
        if self.max_distance is not None:
            require_number("strategy.max_distance", self.max_distance, 0, 2)

    def exchange(self, server_round: int) -> Exchange:
        """Everything, in every round."""
        return WHOLE

    def start(self) -> AggregatorState:
        """No adapter: the shops start from their own, all drawn from one seed."""
        return AggregatorState()

    def downlink(self, state: AggregatorState, shop_id: str) -> AdapterState | None:
        """The mean of the shop's group."""
        cluster = state.scalars.get(_OF + shop_id)
        return state.adapter if cluster is None else _cluster(state, int(cluster))

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The mean of every group that any update came from; the others' stay."""
        learned = [update for update in updates if update.num_examples]
        places = self._places(state, learned)
        tensors = dict(state.tensors)
        for cluster in sorted(set(places.values())):
            own = [update for update in learned if places[update.shop_id] == cluster]
            mean = weighted_mean([update.adapter for update in own], self.weights(own))
            tensors |= {f"{cluster}.{name}": tensor for name, tensor in mean.items()}
        weights = self.weights(learned)
        everyone = weighted_mean([update.adapter for update in learned], weights)
        scalars = {**state.scalars, **{_OF + shop_id: float(cluster) for shop_id, cluster in places.items()}}
        report = report_on(everyone, state.adapter, learned, weights)
        return replace(state, adapter=everyone, tensors=tensors, scalars=scalars), report

    def _places(self, state: AggregatorState, updates: Sequence[AdapterUpdate]) -> Mapping[str, int]:
        """Each shop's group."""
        known = sorted({int(cluster) for name, cluster in state.scalars.items() if name.startswith(_OF)})
        if not known:
            everything = 2.0 + 1e-9  # farther than any two shops
            most = everything if self.max_distance is None else self.max_distance
            groups = grouped(cosine_distances(inner_products(updates)), self.num_clusters or 1, most)
            return {updates[index].shop_id: cluster for cluster, group in enumerate(groups) for index in group}
        places = {}
        for update in updates:
            if _OF + update.shop_id in state.scalars:
                places[update.shop_id] = int(state.scalars[_OF + update.shop_id])
                continue
            means = [replace(update, adapter=_cluster(state, cluster)) for cluster in known]
            apart = cosine_distances(inner_products([update, *means]))[0, 1:]
            places[update.shop_id] = known[int(np.argmin(apart))]
        return places


def _cluster(state: AggregatorState, cluster: int) -> AdapterState:
    return {name: state.tensors[f"{cluster}.{name}"] for name in state.adapter or {}}
