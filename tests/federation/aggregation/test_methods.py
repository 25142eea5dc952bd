"""What holds for every method on low-rank pairs, against whole float64 matrices."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecc_fed.core.aggregation import (
    EVERYTHING,
    LORA_A,
    LORA_B,
    AdapterUpdate,
    AggregatorState,
    Exchange,
    select,
)
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedex_lora import FedExLora
from ecc_fed.federation.aggregation.fedrot_lora import FedRotLora
from ecc_fed.federation.aggregation.fedsa_lora import FedSaLora
from ecc_fed.federation.aggregation.fedsvd import FedSvd
from ecc_fed.federation.aggregation.ffa_lora import FfaLora
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.flora import Flora
from ecc_fed.federation.aggregation.florist import Florist
from ecc_fed.federation.aggregation.frozen_sum import Bound
from ecc_fed.federation.aggregation.hetlora import HetLora
from ecc_fed.federation.aggregation.lora_fair import LoraFair
from ecc_fed.federation.aggregation.rolora import RoLora
from ecc_fed.federation.aggregation.weights import Uniform
from tests.federation.aggregation.dense import added, distance, drawn, lora, mean_product, rslora, updates_of

RANK = 3
METHODS: dict[str, Any] = {
    "fedavg": FedAvg(),
    "ffa": FfaLora(),
    "fedsa": FedSaLora(),
    "rolora": RoLora(),
    "fedsvd": FedSvd(),
    "flexlora": FlexLora(scale_at=lora),
    "florist": Florist(1.0, 64, scale_at=lora),
    "fair": LoraFair(0.01),
    "fedrot": FedRotLora(),
    "hetlora": HetLora(scale_at=lora),
    "flora": Flora(Bound(64, 1.0), adapter_seed=5),
    "fedex": FedExLora(Bound(64, 1.0)),
}
# The server's result is W* to rounding.
EXACT = ("ffa", "rolora", "fedsvd", "florist", "flora", "fedex")
PERSONAL = ("fedsa",)


def shops(count: int, seed: int = 0) -> list[AdapterState]:
    rng = np.random.default_rng(seed)
    return [drawn(rng, RANK) for _ in range(count)]


def play(
    method: Any, trained: Sequence[AdapterState], counts: Sequence[int], rounds: int = 1
) -> tuple[AggregatorState, Any, list[AdapterState], list[AdapterUpdate]]:
    """Rounds in which shop i's training leaves it with the factors of `trained[i]`, where the method lets it train.

    All begin with one A, and B = 0, as LoRA starts. Gives the state, the report, what every shop then serves, and
    whole updates, as they were when the last round ended.
    """
    state, report = method.start(), None
    first = drawn(np.random.default_rng(99), RANK)
    own = [{n: t if ".lora_A." in n else np.zeros_like(t) for n, t in first.items()} for _ in trained]
    ids = [f"shop_{i}" for i in range(len(trained))]
    whole: list[AdapterUpdate] = []
    for server_round in range(1, rounds + 1):
        exchange: Exchange = method.exchange(server_round)
        own = [{**mine, **(method.downlink(state, shop_id) or {})} for mine, shop_id in zip(own, ids, strict=True)]
        own = [{**mine, **select(target, exchange.train)} for mine, target in zip(own, trained, strict=True)]
        whole = [
            AdapterUpdate(shop_id, server_round, mine, count, lora(RANK))
            for shop_id, mine, count in zip(ids, own, counts, strict=True)
        ]
        sent = [replace(update, adapter=select(update.adapter, exchange.up)) for update in whole]
        state, report = method.aggregate(state, sent)
    own = [{**mine, **(method.downlink(state, shop_id) or {})} for mine, shop_id in zip(own, ids, strict=True)]
    return state, report, own, whole


def served(adapter: AdapterState) -> dict[str, np.ndarray]:
    """All that the adapter adds to the base."""
    return added(adapter, lora(next(iter(select(adapter, LORA_A).values())).shape[0]))


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("name", EXACT)
def test_exact_methods_serve_the_mean_product(name, rounds):
    counts = [5, 1, 3, 7]
    _, report, own, whole = play(METHODS[name], shops(4), counts, rounds)
    for mine in own:
        assert distance(served(mine), mean_product(whole)) < 1e-6
    assert report.relative_error < 1e-6
    assert report.update_bytes and set(report.update_bytes) == {f"shop_{i}" for i in range(4)}


@pytest.mark.parametrize("name", [name for name in METHODS if name not in PERSONAL])
def test_the_report_tells_the_error_that_whole_matrices_have(name):
    _, report, own, whole = play(METHODS[name], shops(3), [1, 2, 3], 2)
    found = distance(served(own[0]), mean_product(whole))
    assert report.relative_error == pytest.approx(found, rel=1e-4, abs=1e-6)
    assert (found > 0.05) == (name not in EXACT), "these adapters are unlike each other"


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("name", METHODS)
def test_one_shop_is_local(name, rounds):
    _, _, own, whole = play(METHODS[name], shops(1), [4], rounds)
    assert distance(served(own[0]), added(whole[0].adapter, lora(RANK))) < 1e-6


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("name", METHODS)
def test_equal_shops_change_nothing(name, rounds):
    _, _, own, whole = play(METHODS[name], [shops(1)[0]] * 3, [4, 1, 9], rounds)
    for mine in own:
        assert distance(served(mine), added(whole[0].adapter, lora(RANK))) < 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_shops_does_not_matter(name):
    trained, counts, order = shops(4), [5, 1, 3, 7], [2, 0, 3, 1]
    _, _, own, _ = play(METHODS[name], trained, counts, 2)
    _, _, other, _ = play(METHODS[name], [trained[i] for i in order], [counts[i] for i in order], 2)
    for place, i in enumerate(order):
        assert distance(served(other[place]), served(own[i])) < 1e-5


@pytest.mark.parametrize("name", METHODS)
def test_a_shop_without_examples_counts_nothing(name):
    trained = shops(3)
    _, _, own, _ = play(METHODS[name], trained, [5, 0, 3], 2)
    _, _, without, _ = play(METHODS[name], [trained[0], trained[2]], [5, 3], 2)
    assert distance(served(own[0]), served(without[0])) < 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_honoured(name):
    trained = shops(2)
    method = replace(METHODS[name], weights=Uniform())
    _, _, uniform, whole = play(method, trained, [9, 1])
    _, _, alike, _ = play(METHODS[name], trained, [1, 1])
    _, _, apart, _ = play(METHODS[name], trained, [9, 1])
    assert distance(served(uniform[0]), served(alike[0])) < 1e-6
    assert distance(served(uniform[0]), served(apart[0])) > 1e-2
    if name in EXACT:
        assert distance(served(uniform[0]), mean_product(whole, [1, 1])) < 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_untrained_adapters_stay_so_and_can_still_learn(name):
    zeros = [{n: t if ".lora_A." in n else np.zeros_like(t) for n, t in each.items()} for each in shops(3)]
    _, _, own, _ = play(METHODS[name], zeros, [1, 2, 3])
    assert all(not product.any() for product in served(own[0]).values())
    # A row of zeros in A beside one in B would never get a gradient.
    if name != "florist":  # which keeps one component of nothing
        assert all(np.linalg.norm(a, axis=1).min() > 0.05 for a in select(own[0], LORA_A).values())


@pytest.mark.parametrize("name", METHODS)
def test_nothing_changes_an_update_or_the_state_before(name):
    method = METHODS[name]
    first = updates_of([RANK] * 2, [1, 2], seed=1)
    state, _ = method.aggregate(method.start(), first)
    kept = {n: t.copy() for n, t in state.adapter.items()}
    second = updates_of([RANK] * 2, [1, 2], seed=2)
    before = [{n: t.copy() for n, t in update.adapter.items()} for update in second]
    again, _ = method.aggregate(state, second)
    assert all(np.array_equal(state.adapter[n], t) for n, t in kept.items())
    assert all(np.array_equal(u.adapter[n], t) for u, old in zip(second, before, strict=True) for n, t in old.items())
    assert all(tensor.dtype == np.float32 for tensor in again.adapter.values())


@pytest.mark.parametrize("scale_at", [lora, rslora])
@pytest.mark.parametrize("name", ["ffa", "rolora", "fedsvd", "fair", "fedrot", "fedavg"])
def test_a_method_without_ranks_of_its_own_never_sees_the_scale(name, scale_at):
    found = [
        METHODS[name].aggregate(METHODS[name].start(), updates_of([RANK] * 3, [1, 2, 3], at)) for at in (lora, scale_at)
    ]
    assert all(np.allclose(found[0][0].adapter[n], t, rtol=1e-5, atol=1e-6) for n, t in found[1][0].adapter.items())


def test_what_trains_and_travels():
    both = Exchange(EVERYTHING, EVERYTHING)
    assert {name: method.exchange(1) for name, method in METHODS.items()} == dict.fromkeys(METHODS, both) | {
        "ffa": Exchange(LORA_B, LORA_B),
        "fedsa": Exchange(EVERYTHING, LORA_A),
        "rolora": Exchange(LORA_B, LORA_B),
        "flexlora": Exchange(turns=True),
        "florist": Exchange(turns=True),
        "fedsvd": Exchange(LORA_B, EVERYTHING, turns=True),
        # Never the frozen part.
        "flora": Exchange(EVERYTHING, (*LORA_A, *LORA_B), turns=True),
        "fedex": Exchange(EVERYTHING, (*LORA_A, *LORA_B)),
    }
    assert METHODS["fedsvd"].exchange(2) == Exchange(LORA_B, LORA_B, turns=True)
    assert METHODS["rolora"].exchange(2) == Exchange(LORA_A, LORA_A)
    assert METHODS["rolora"].exchange(3) == Exchange(LORA_B, LORA_B)
    assert {name for name, method in METHODS.items() if method.mixed_ranks} == {
        "flexlora",
        "florist",
        "hetlora",
        "flora",
    }
    assert not METHODS["fedavg"].pairs_only
    assert all(method.pairs_only for name, method in METHODS.items() if name != "fedavg")
