"""FlexLoRA, FLoRIST and HetLoRA with the ranks, scales and mistakes that belong to them."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import AggregatorState, adapter_rank
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.florist import Florist
from ecc_fed.federation.aggregation.hetlora import HetLora
from tests.federation.aggregation.dense import (
    best_of_rank,
    distance,
    drawn,
    lora,
    mean_product,
    products,
    rslora,
    updates_of,
)


@pytest.mark.parametrize("scale_at", [lora, rslora])
@pytest.mark.parametrize("ranks", [[3, 3, 3, 3], [1, 4, 2, 6]])
def test_flexlora_serves_every_shop_the_best_of_its_rank_in_its_scale(ranks, scale_at):
    """U S V^T, not U sqrt(S) V^T nor its transpose (one module is square), and s_i by every shop's own rank."""
    updates = updates_of(ranks, [5, 1, 3, 7], scale_at)
    method = FlexLora(scale_at=scale_at)
    state, report = method.aggregate(method.start(), updates)
    mean = mean_product(updates)
    for update in updates:
        down = method.downlink(state, update.shop_id)
        assert adapter_rank(down) == update.rank
        best = {name: best_of_rank(each, update.rank) for name, each in mean.items()}
        assert distance(products(down, update.scale), best) < 1e-6
    best = {name: best_of_rank(each, max(ranks)) for name, each in mean.items()}
    assert report.relative_error == pytest.approx(distance(best, mean), rel=1e-5)
    assert (report.aggregate_rank, list(report.ranks.values())) == (max(ranks), ranks)


@pytest.mark.parametrize("method", [FlexLora(scale_at=lora), HetLora(scale_at=lora)])
def test_a_shop_that_the_server_never_heard_of_is_sent_what_fits_all_or_nothing(method):
    state, _ = method.aggregate(method.start(), updates_of([3, 3], [1, 1]))
    assert method.downlink(state, "late") is method.downlink(state, "shop_0") is state.adapter
    state, _ = method.aggregate(method.start(), updates_of([3, 2], [1, 1]))
    assert method.downlink(state, "late") is None
    assert method.downlink(method.start(), "shop_0") is None


@pytest.mark.parametrize("method", [FlexLora(scale_at=lora), HetLora(scale_at=lora)])
def test_a_round_without_the_widest_shop_leaves_it_its_rank(method):
    updates = updates_of([2, 5], [1, 1])
    state, _ = method.aggregate(method.start(), updates)
    state, _ = method.aggregate(state, updates[:1])
    assert adapter_rank(method.downlink(state, "shop_1")) == 5
    assert distance(products(method.downlink(state, "shop_1"), lora(5)), products(updates[0].adapter, lora(2))) < 1e-6


@pytest.mark.parametrize("scale_at", [lora, rslora])
@pytest.mark.parametrize("energy", [0.5, 0.9, 1.0])
def test_florist_takes_the_least_rank_that_keeps_the_energy_in_every_module(energy, scale_at):
    updates = updates_of([2, 3, 1], [5, 1, 3], scale_at)
    method = Florist(energy, 64, scale_at=scale_at)
    state, report = method.aggregate(method.start(), updates)
    rank, mean = adapter_rank(state.adapter), mean_product(updates)
    assert distance(products(state.adapter, scale_at(rank)), {n: best_of_rank(m, rank) for n, m in mean.items()}) < 1e-6

    def kept(at: int) -> float:
        return min(np.sum(best_of_rank(each, at) ** 2) / np.sum(each**2) for each in mean.values())

    assert kept(rank) >= energy * (1 - 1e-9)
    assert rank == 1 or kept(rank - 1) < energy * (1 - 1e-9)
    assert report.aggregate_rank == rank
    assert method.downlink(state, "anybody") is state.adapter


def test_florist_stays_below_its_most_and_may_grow_again():
    method = Florist(1.0, 4, scale_at=lora)
    state, _ = method.aggregate(AggregatorState(), updates_of([3, 3], [1, 1]))
    assert adapter_rank(state.adapter) == 4
    alike = updates_of([1], [1]) * 2
    state, report = method.aggregate(state, [replace(alike[0], shop_id="a"), replace(alike[1], shop_id="b")])
    assert (adapter_rank(state.adapter), report.update_norm) == (1, None)
    state, _ = method.aggregate(state, updates_of([1, 1], [1, 1]))
    assert adapter_rank(state.adapter) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Florist(0.0, 4), "strategy.energy=0.0 is out of range: above 0, at most 1"),
        (lambda: Florist(1.1, 4), "strategy.energy=1.1 is out of range"),
        (lambda: Florist(0.9, 0), "strategy.max_rank=0 is out of range: 1 or more"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_hetlora_fills_up_averages_and_cuts():
    updates = updates_of([1, 3], [1, 3])
    method = HetLora(scale_at=lora)
    state, report = method.aggregate(method.start(), updates)
    narrow, wide = (update.adapter for update in updates)
    for a in [name for name in wide if ".lora_A." in name]:
        b = a.replace("lora_A", "lora_B")
        mean_a = 0.75 * wide[a].astype(np.float64)
        mean_a[:1] += 0.25 * narrow[a]
        mean_b = 0.75 * wide[b].astype(np.float64)
        # B A of rank 1 is scaled by 8, of rank 3 by 8 / 3: its B counts three times in the common scale.
        mean_b[:, :1] += 0.25 * 3 * narrow[b].astype(np.float64)
        np.testing.assert_allclose(state.adapter[a], mean_a, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(state.adapter[b], mean_b, rtol=1e-6, atol=1e-6)
        down = method.downlink(state, "shop_0")
        np.testing.assert_allclose(down[a], mean_a[:1], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(down[b], mean_b[:, :1] / 3, rtol=1e-6, atol=1e-6)
    error = distance(products(state.adapter, lora(3)), mean_product(updates))
    assert report.relative_error == pytest.approx(error, rel=1e-5)


def test_a_shop_of_a_low_rank_alone_is_local_in_hetlora_bit_for_bit():
    (only,) = updates_of([2], [3])
    method = HetLora(scale_at=lora)
    state, _ = method.aggregate(method.start(), [only])
    assert all(np.array_equal(state.adapter[name], tensor) for name, tensor in only.adapter.items())


def test_many_uploads_are_as_exact_as_few():
    """More ranks together than the matrices have rows: the stack is folded on the way."""
    updates = updates_of([4] * 30, list(range(1, 31)))
    method = FlexLora(scale_at=lora)
    state, _ = method.aggregate(method.start(), updates)
    best = {name: best_of_rank(each, 4) for name, each in mean_product(updates).items()}
    assert distance(products(state.adapter, lora(4)), best) < 1e-6
    assert drawn(np.random.default_rng(0), 4).keys() == state.adapter.keys()
