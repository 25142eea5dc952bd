"""FLoRA and FedEx-LoRA: what they would add to the base, in the frozen part; their own mistakes."""

import numpy as np
import pytest

from ecc_fed.core.aggregation import LORA_A, LORA_B, AggregatorState, adapter_rank, select
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.frozen_part import frozen_part, frozen_rank, own_part
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedex_lora import FedExLora
from ecc_fed.federation.aggregation.flora import Flora
from ecc_fed.federation.aggregation.frozen_sum import Bound
from tests.federation.aggregation.dense import added, best_of_rank, distance, lora, mean_product, rslora, updates_of

WIDE = Bound(1000, 1.0)


@pytest.mark.parametrize("scale_at", [lora, rslora])
def test_flora_adds_the_mean_product_of_mixed_ranks_each_in_its_scale(scale_at):
    """A published version leaves s out."""
    updates = updates_of([1, 3, 2], [5, 1, 3], scale_at)
    method = Flora(WIDE, 5)
    state, report = method.aggregate(method.start(), updates)
    assert distance(added(state.adapter, 1.0), mean_product(updates)) < 1e-6
    assert report.relative_error < 1e-6
    assert frozen_rank(state.adapter) == 1 + 3 + 2
    assert report.aggregate_rank == 3 + 6
    for update in updates:
        down = method.downlink(state, update.shop_id)
        assert adapter_rank(down) == update.rank
        assert not any(b.any() for b in select(down, LORA_B).values()), "adapters start anew"
        assert all(a.any(axis=1).all() for a in select(down, LORA_A).values())
        assert distance(added(down, update.scale), mean_product(updates)) < 1e-6
    late = method.downlink(state, "late")
    assert late.keys() == frozen_part(state.adapter).keys(), "of whatever rank it is, the base is that of all"


def test_flora_draws_every_round_anew_from_the_seed():
    updates = updates_of([2, 2], [1, 1])
    one, other, again = Flora(WIDE, 5), Flora(WIDE, 6), Flora(WIDE, 5)
    first, _ = one.aggregate(one.start(), updates)
    second, _ = one.aggregate(first, updates)
    name = next(iter(select(first.adapter, LORA_A)))
    assert one.downlink(first, "shop_0") is one.downlink(first, "shop_1") is one.downlink(first, "late")
    assert not np.array_equal(first.adapter[name], second.adapter[name])
    assert not np.array_equal(first.adapter[name], other.aggregate(other.start(), updates)[0].adapter[name])
    assert np.array_equal(first.adapter[name], again.aggregate(again.start(), updates)[0].adapter[name])


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_add_up(rounds):
    flora, fedex = Flora(WIDE, 5), FedExLora(WIDE)
    states = [flora.start(), fedex.start()]
    total: dict[str, np.ndarray] = {}
    for at in range(rounds):
        updates = updates_of([2] * 3, [1, 2, 3], seed=at)
        mean = mean_product(updates)
        held = states[1].adapter
        # FedEx's shops train on beside the frozen part of before.
        before = {n: each - _own(held)[n] for n, each in added(held, lora(2)).items()} if held else {}
        (states[0], one), (states[1], other) = flora.aggregate(states[0], updates), fedex.aggregate(states[1], updates)
        assert one.relative_error < 1e-5
        assert other.relative_error < 1e-5
        total = {name: total.get(name, 0) + each for name, each in mean.items()}
        wanted = {name: each + before.get(name, 0) for name, each in mean.items()}
        assert distance(added(states[1].adapter, lora(2)), wanted) < 1e-6
    assert distance(added(states[0].adapter, 1.0), total) < 1e-6


def _own(adapter: AdapterState) -> dict[str, np.ndarray]:
    return added(own_part(adapter), lora(2))


def test_fedex_serves_plain_means_beside_the_residual():
    """Nor is the residual transposed, which no shape of a square module would show."""
    updates = updates_of([2] * 3, [5, 1, 3])
    state, report = FedExLora(WIDE).aggregate(AggregatorState(), updates)
    plain, told = FedAvg().aggregate(AggregatorState(), updates)
    assert all(np.array_equal(state.adapter[name], tensor) for name, tensor in plain.adapter.items())
    assert distance(added(state.adapter, lora(2)), mean_product(updates)) < 1e-6
    assert report.relative_error < 1e-6 < told.relative_error
    assert frozen_rank(state.adapter) == 3 * 2 + 2


@pytest.mark.parametrize("most", [1, 4])
def test_beyond_its_bound_the_sum_is_its_best_approximation(most):
    updates = updates_of([2] * 4, [5, 1, 3, 7])
    method = Flora(Bound(most, 1.0), 5)
    state, report = method.aggregate(method.start(), updates)
    mean = mean_product(updates)
    best = {name: best_of_rank(each, most) for name, each in mean.items()}
    assert frozen_rank(state.adapter) == most
    assert distance(added(state.adapter, 1.0), best) < 1e-6
    assert report.relative_error == pytest.approx(distance(best, mean), rel=1e-5)


def test_the_energy_decides_beyond_the_bound_alone():
    updates = updates_of([2] * 4, [5, 1, 3, 7])
    ranks = {}
    for most in (8, 7):
        state, _ = Flora(Bound(most, 0.5), 5).aggregate(AggregatorState(), updates)
        ranks[most] = frozen_rank(state.adapter)
    assert ranks[8] == 8
    assert 1 <= ranks[7] < 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bound(0, 0.9), r"strategy\.bound\.max_rank=0 is out of range: 1 or more"),
        (lambda: Bound(8, 0.0), r"strategy\.bound\.energy=0\.0 is out of range: above 0, at most 1"),
        (lambda: Bound(8, 1.5), r"strategy\.bound\.energy=1\.5 is out of range"),
    ],
)
def test_bounds_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
