"""Groups by products: found, kept, joined, averaged within."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.clusters import Clusters, cosine_distances, grouped
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.geometry import inner_products
from ecc_fed.federation.aggregation.state_files import load_state, save_state
from tests.federation.aggregation.dense import drawn, lora, products

RANK = 3


def update(shop_id: str, kind: int, server_round: int = 1, count: int = 4) -> AdapterUpdate:
    """A shop whose adapter is its kind's with a little of its own."""
    seed = sum(map(ord, shop_id)) + 100 * server_round
    common, own = drawn(np.random.default_rng(kind), RANK), drawn(np.random.default_rng(seed), RANK)
    adapter = {name: (tensor + 0.2 * own[name]).astype(np.float32) for name, tensor in common.items()}
    return AdapterUpdate(shop_id, server_round, adapter, count, lora(RANK))


KINDS = {"a": 0, "b": 1, "c": 0, "d": 2, "e": 1, "f": 0}


def all_of(server_round: int = 1) -> list[AdapterUpdate]:
    return [update(shop_id, kind, server_round, 2 + kind) for shop_id, kind in KINDS.items()]


def same(one: AdapterState, other: AdapterState) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def mean_of(updates: list[AdapterUpdate]) -> AdapterState:
    return weighted_mean([each.adapter for each in updates], [each.num_examples for each in updates])


def by_hand(distances: np.ndarray, count: int) -> list[list[int]]:
    """Average linkage as it is defined: the mean over all pairs, anew for every merge."""
    groups = [[i] for i in range(len(distances))]
    while len(groups) > count:
        pairs = [(i, j) for i in range(len(groups)) for j in range(i + 1, len(groups))]
        means = [np.mean([distances[x, y] for x in groups[i] for y in groups[j]]) for i, j in pairs]
        i, j = pairs[int(np.argmin(means))]
        groups[i] = sorted(groups[i] + groups.pop(j))
    return groups


def test_distances_are_of_the_dense_products_directions_and_a_zero_has_none():
    updates = all_of()
    dense = np.stack([np.concatenate([p.ravel() for p in products(u.adapter, u.scale).values()]) for u in updates])
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(cosine_distances(inner_products(updates)), 1 - unit @ unit.T, atol=1e-9)
    zero = cosine_distances(np.array([[0.0, 0.0], [0.0, 4.0]]))
    assert zero[0, 1] == zero[1, 0] == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_average_linkage_is_as_it_is_defined(seed):
    points = np.random.default_rng(seed).standard_normal((9, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    for count in (1, 2, 3, 5, 9):
        assert grouped(distances, count, np.inf) == by_hand(distances, count)


def test_groups_as_far_apart_as_the_threshold_stay_two():
    line = np.array([0.0, 1.0, 10.0, 11.0, 30.0])
    distances = np.abs(line[:, None] - line[None])
    assert grouped(distances, 1, 1.5) == [[0, 1], [2, 3], [4]]
    assert grouped(distances, 1, 10.0) == [[0, 1], [2, 3], [4]], "10 apart, on average"
    assert grouped(distances, 1, 10.5) == [[0, 1, 2, 3], [4]]
    assert grouped(distances, 2, 0.5) == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("method", [Clusters(3), Clusters(None, 0.5)], ids=["number", "distance"])
def test_every_shop_is_sent_the_mean_of_its_kind_as_one_object_of_tensors(method):
    updates = all_of()
    state, report = method.aggregate(method.start(), updates)
    for shop_id, kind in KINDS.items():
        wanted = mean_of([each for each in updates if KINDS[each.shop_id] == kind])
        assert same(method.downlink(state, shop_id), wanted)
    a, c = method.downlink(state, "a"), method.downlink(state, "c")
    assert all(a[name] is c[name] for name in a)
    plain, told = FedAvg().aggregate(FedAvg().start(), updates)
    assert same(method.downlink(state, "a stranger"), plain.adapter)
    assert (report.relative_error, report.ranks) == (told.relative_error, told.ranks)


def test_groups_stay_and_absent_shops_keep_theirs(tmp_path):
    method = Clusters(3)
    first, _ = method.aggregate(method.start(), all_of())
    save_state(tmp_path / "state", first)
    # In the second round "a" sends what another kind learned, and "b" and "e" are away.
    second = [replace(update(s, k, 2), num_examples=3) for s, k in {"a": 2, "c": 0, "d": 2, "f": 0}.items()]
    state, _ = method.aggregate(load_state(tmp_path / "state"), second)
    assert state.scalars == first.scalars
    assert same(method.downlink(state, "a"), mean_of([each for each in second if each.shop_id in "acf"]))
    assert same(method.downlink(state, "b"), method.downlink(first, "b"))


def test_a_newcomer_joins_the_nearest_group():
    method = Clusters(3)
    first, _ = method.aggregate(method.start(), all_of())
    late = [update("late", 1, 2), update("a", 0, 2)]
    state, _ = method.aggregate(first, late)
    assert state.scalars["cluster/late"] == state.scalars["cluster/b"]
    assert same(method.downlink(state, "b"), late[0].adapter)
    assert same(method.downlink(state, "d"), method.downlink(first, "d"))


def test_one_group_is_plain_averaging_and_a_group_for_each_is_everybody_alone():
    updates = all_of()
    one, _ = Clusters(1).aggregate(Clusters(1).start(), updates)
    plain, _ = FedAvg().aggregate(FedAvg().start(), updates)
    assert all(same(Clusters(1).downlink(one, shop_id), plain.adapter) for shop_id in KINDS)
    each, _ = Clusters(6).aggregate(Clusters(6).start(), updates)
    assert all(same(Clusters(6).downlink(each, own.shop_id), own.adapter) for own in updates)


def test_the_order_of_shops_is_nothing_to_their_groups():
    method = Clusters(3)
    found = []
    for updates in (all_of(), all_of()[::-1]):
        state, _ = method.aggregate(method.start(), updates)
        found.append(
            {
                frozenset(s for s in KINDS if state.scalars[f"cluster/{s}"] == state.scalars[f"cluster/{t}"])
                for t in KINDS
            }
        )
    assert found[0] == found[1]


def test_a_shop_without_examples_belongs_nowhere_yet():
    method = Clusters(2)
    state, _ = method.aggregate(method.start(), [*all_of(), replace(update("idle", 2), num_examples=0)])
    assert "cluster/idle" not in state.scalars
    assert same(method.downlink(state, "idle"), state.adapter)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((2, 0.5), "give one of the two"),
        ((None, None), "give one of the two"),
        ((0, None), "strategy.num_clusters=0"),
        ((None, 3.0), "strategy.max_distance=3"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Clusters(*values)
