"""Shops with a lora_alpha of their own: against dense float64 products, and what is refused."""

import numpy as np
import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.aggregation import AdapterUpdate, adapter_rank
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.frozen_part import frozen_part
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.end_model.adapters.settings import AdapterChoice, dealt
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.flora import Flora
from ecc_fed.federation.aggregation.florist import Florist
from ecc_fed.federation.aggregation.frozen_sum import Bound
from ecc_fed.federation.aggregation.hetlora import HetLora
from tests.federation.aggregation.dense import (
    added,
    best_of_rank,
    distance,
    drawn,
    lora,
    mean_product,
    products,
    rslora,
)

ALPHAS = (4.0, 24.0, 8.0, 1.0)
COUNTS = (5, 1, 3, 7)


def updates_of(ranks, kind=Lora) -> list[AdapterUpdate]:
    rng = np.random.default_rng(2)
    return [
        AdapterUpdate(f"shop_{i}", 1, drawn(rng, rank), count, kind(rank, alpha).scale)
        for i, (rank, alpha, count) in enumerate(zip(ranks, ALPHAS, COUNTS, strict=True))
    ]


@pytest.mark.parametrize(("kind", "scale_at"), [(Lora, lora), (RsLora, rslora)])
@pytest.mark.parametrize("ranks", [(3, 3, 3, 3), (1, 4, 2, 6)])
def test_flexlora_is_the_best_of_each_rank_in_each_shops_own_scale(ranks, kind, scale_at):
    updates = updates_of(ranks, kind)
    method = FlexLora(scale_at=scale_at)
    state, _ = method.aggregate(method.start(), updates)
    mean = mean_product(updates)
    for update in updates:
        down = method.downlink(state, update.shop_id)
        assert adapter_rank(down) == update.rank
        best = {name: best_of_rank(each, update.rank) for name, each in mean.items()}
        assert distance(products(down, update.scale), best) < 1e-6


@pytest.mark.parametrize(("kind", "scale_at"), [(Lora, lora), (RsLora, rslora)])
def test_florist_keeps_everything_where_all_energy_is_kept(kind, scale_at):
    updates = updates_of((2, 2, 2, 2), kind)
    method = Florist(energy=1.0, max_rank=12, scale_at=scale_at)
    state, _ = method.aggregate(method.start(), updates)
    mean = mean_product(updates)
    for update, alpha in zip(updates, ALPHAS, strict=True):
        down = method.downlink(state, update.shop_id)
        assert distance(products(down, kind(adapter_rank(down), alpha).scale), mean) < 1e-6


def test_flora_adds_the_mean_of_all_products_to_every_shops_frozen_part():
    updates = updates_of((1, 3, 3, 3))
    method = Flora(Bound(64, 1.0), 0)
    state, report = method.aggregate(method.start(), updates)
    assert report.relative_error < 1e-6
    for update in updates:
        down = method.downlink(state, update.shop_id)
        assert distance(added(down, update.scale), mean_product(updates)) < 1e-6
        assert frozen_part(down)


def test_hetlora_averages_factors_of_one_scale():
    updates = updates_of((3, 3, 3, 3))
    method = HetLora(scale_at=lora)
    state, _ = method.aggregate(method.start(), updates)
    shares = np.array(COUNTS) / sum(COUNTS)
    for update in updates:
        down = method.downlink(state, update.shop_id)
        for name in (name for name in down if "lora_A" in name):
            other = name.replace("lora_A", "lora_B")
            a = sum(p * u.adapter[name].astype(float) for p, u in zip(shares, updates, strict=True))
            b = sum(p * u.scale * u.adapter[other].astype(float) for p, u in zip(shares, updates, strict=True))
            np.testing.assert_allclose(update.scale * down[other].astype(float) @ down[name], b @ a, atol=1e-5)


@pytest.mark.parametrize("method", [FlexLora(scale_at=lora), HetLora(scale_at=lora), Florist(0.9, 8, scale_at=lora)])
def test_a_shop_that_the_server_never_heard_of_is_sent_nothing_while_scales_differ(method):
    updates = updates_of((3, 3, 3, 3))
    state, _ = method.aggregate(method.start(), updates)
    assert method.downlink(state, "late") is None
    same, _ = method.aggregate(method.start(), updates[2:3])
    assert method.downlink(same, "late") is same.adapter


def test_alphas_are_dealt_by_name_whoever_asks():
    chosen = AdapterChoice(rank=4, lora_alpha=8.0, lora_alphas=(8.0, 16.0))
    assert chosen.alphas_of(["c", "a", "b"]) == {"a": 8.0, "b": 16.0, "c": 8.0}
    assert chosen.scale_factors == (1.0, 2.0)
    assert dealt(chosen.scale_factors, ["b", "c", "a"]) == {"a": 1.0, "b": 2.0, "c": 1.0}
    assert AdapterChoice().alphas_of(["a"]) == {}


def plan_of(*overrides: str):
    return build_plan(to_run_config(compose_run(["arm=aggregated", "adapter.lora_alphas=[16,64]", *overrides])))


def test_what_does_not_mix_scales_is_refused_by_name():
    for strategy, name in (("fedavg", "FedAvg"), ("fedex_lora", "FedExLora"), ("median", "TrimmedMean")):
        with pytest.raises(ConfigError, match=rf"adapter\.lora_alphas .* strategy {name} needs one scale for all"):
            plan_of(f"strategy={strategy}")
    for strategy in ("flexlora", "florist", "flora", "hetlora", "multi_krum"):
        assert plan_of(f"strategy={strategy}").limits.scale_factors == (0.5, 2.0)
    plan_of("arm=local")
    with pytest.raises(ConfigError, match=r"adapter\.lora_alphas .* arm centralized has one adapter"):
        plan_of("arm=centralized")
    with pytest.raises(ConfigError, match=r"adapter.lora_alphas=\[0.0\] is out of range: each above 0"):
        AdapterChoice(lora_alphas=(0.0,))
    with pytest.raises(ConfigError, match=r"adapter\.lora_alphas: a dora adapter has one scale"):
        AdapterChoice("dora", lora_alphas=(1.0,))
