"""Robust aggregation on products: against dense matrices, Flower's Krum, and shops that lie."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.serverapp.strategy.multikrum import select_multikrum

from ecc_fed.core.aggregation import LORA_A, AdapterUpdate, select
from ecc_fed.core.errors import ConfigError, TooFewUpdates
from ecc_fed.core.protocols import Aggregator
from ecc_fed.federation.aggregation import trimmed_mean as trimming
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.geometry import inner_products, norms, scaled, squared_distances
from ecc_fed.federation.aggregation.krum import MultiKrum, scores
from ecc_fed.federation.aggregation.norm_bound import NormBound
from ecc_fed.federation.aggregation.trimmed_mean import TrimmedMean, trimmed_product
from ecc_fed.federation.aggregation.weights import Uniform
from tests.federation.aggregation.dense import best_of_rank, distance, drawn, lora, mean_product, products, updates_of

RANK = 3
MAGNITUDE = "m.q_proj.lora_magnitude_vector"


def flat(update: AdapterUpdate) -> np.ndarray:
    """All numbers of s B A, module after module."""
    return np.concatenate([each.ravel() for each in products(update.adapter, update.scale).values()])


def turned(update: AdapterUpdate, seed: int = 9) -> AdapterUpdate:
    """The same product by far-apart factors: B Q, Q^-1 A with an ill-tempered Q."""
    adapter = {}
    q = np.random.default_rng(seed).standard_normal((RANK, RANK)) * 30 + np.eye(RANK)
    for name, tensor in update.adapter.items():
        both = np.linalg.inv(q) @ tensor if "lora_A" in name else tensor @ q
        adapter[name] = both.astype(np.float64)
    return replace(update, adapter=adapter)


def near(count: int, spread: float = 0.3, seed: int = 1) -> list[AdapterUpdate]:
    """Honest shops: one adapter, each with a change of its own."""
    rng = np.random.default_rng(seed)
    common = drawn(rng, RANK)
    found = []
    for i in range(count):
        own = drawn(rng, RANK)
        adapter = {name: (tensor + spread * own[name]).astype(np.float32) for name, tensor in common.items()}
        found.append(AdapterUpdate(f"shop_{i}", 1, adapter, 5 + i, lora(RANK)))
    return found


Attack = Callable[[AdapterUpdate, np.random.Generator], dict[str, np.ndarray]]
ATTACKS: dict[str, Attack] = {
    "flipped": lambda u, rng: dict(scaled(u.adapter, -10.0)),
    "random": lambda u, rng: {n: (10 * rng.standard_normal(t.shape)).astype(np.float32) for n, t in u.adapter.items()},
    "shifted": lambda u, rng: {n: t + np.float32(5) for n, t in u.adapter.items()},
}


def attacked(attack: str, honest: int = 7, hostile: int = 3) -> tuple[list[AdapterUpdate], list[AdapterUpdate]]:
    """All updates, the hostile ones in between; and the honest ones."""
    every, rng = near(honest + hostile), np.random.default_rng(4)
    liars = {1, 4, 8}
    sent = [replace(u, adapter=ATTACKS[attack](u, rng)) if i in liars else u for i, u in enumerate(every)]
    return sent, [update for i, update in enumerate(sent) if i not in liars]


def test_inner_products_are_those_of_the_dense_products_with_mixed_ranks_and_scales_too():
    updates = updates_of([1, 3, 2, 5], [1, 1, 1, 1])
    dense = np.stack([flat(update) for update in updates])
    np.testing.assert_allclose(inner_products(updates), dense @ dense.T, rtol=1e-10)
    np.testing.assert_allclose(norms(updates), np.linalg.norm(dense, axis=1), rtol=1e-10)
    gaps = ((dense[:, None] - dense[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(inner_products(updates)), gaps, rtol=1e-9, atol=1e-9)


def test_tensors_without_a_pair_count_as_they_are():
    updates = [replace(u, adapter={**u.adapter, MAGNITUDE: np.full(4, i + 1.0)}) for i, u in enumerate(near(2))]
    plain = inner_products(near(2))
    np.testing.assert_allclose(inner_products(updates) - plain, 4 * np.outer([1, 2], [1, 2]), rtol=1e-9)
    only_a = [replace(u, adapter=select(u.adapter, LORA_A)) for u in near(3)]
    rows = np.stack([np.concatenate([t.ravel() for t in u.adapter.values()]).astype(float) for u in only_a])
    np.testing.assert_allclose(inner_products(only_a), rows @ rows.T, rtol=1e-10)


def test_equal_products_are_equal_whatever_their_factors():
    first, *others = near(6)
    twin = turned(first)
    apart = max(float(np.abs(twin.adapter[name] - first.adapter[name]).max()) for name in first.adapter)
    assert apart > 10
    gaps = squared_distances(inner_products([first, twin, *others]))
    assert gaps[0, 1] < 1e-9 * gaps[0, 2]
    np.testing.assert_allclose(gaps[0, 2:], gaps[1, 2:], rtol=1e-9)
    found = scores(gaps, 1)
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_scaled_adapter_adds_so_much_and_keeps_its_a():
    update = near(1)[0]
    half = scaled({**update.adapter, MAGNITUDE: np.ones(3, np.float32)}, 0.5)
    assert all(half[name] is update.adapter[name] for name in select(update.adapter, LORA_A))
    np.testing.assert_allclose(flat(replace(update, adapter=half)), 0.5 * flat(update), rtol=1e-6)
    assert half[MAGNITUDE].tolist() == [0.5] * 3


def test_scores_by_hand():
    """Five on a line, one of which may lie: each one's two nearest count."""
    line = np.array([0.0, 1.0, 3.0, 6.0, 20.0])
    found = scores((line[:, None] - line[None]) ** 2, hostile=1)
    assert found.tolist() == [1 + 9, 1 + 4, 4 + 9, 9 + 25, 14**2 + 17**2]


@pytest.mark.parametrize("hostile", [0, 1, 2])
@pytest.mark.parametrize("kept", [1, 3])
def test_krum_chooses_as_flowers_does_on_the_dense_products(hostile, kept):
    updates = updates_of([RANK] * 8, [5] * 8, seed=hostile)
    contents = [RecordDict({"arrays": ArrayRecord({"w": Array(flat(update))})}) for update in updates]
    theirs = select_multikrum(contents, hostile, kept)
    wanted = sorted(index for index, content in enumerate(contents) if any(content is each for each in theirs))
    method = MultiKrum(mean=FedAvg(Uniform()), hostile_share=hostile / 8, kept=kept)
    state, report = method.aggregate(method.start(), updates)
    expected, _ = FedAvg(Uniform()).aggregate(FedAvg().start(), [updates[i] for i in wanted])
    assert all(np.array_equal(state.adapter[name], expected.adapter[name]) for name in expected.adapter)
    left_out = {f"shop_{i}" for i in range(8)} - {f"shop_{i}" for i in wanted}
    assert report.flags == dict.fromkeys(sorted(left_out), "not_selected")
    assert report.ranks.keys() == report.update_bytes.keys() == {f"shop_{i}" for i in range(8)}


PRODUCTS = FlexLora(Uniform(), lora)


def robust(name: str) -> Aggregator:
    return {
        "krum": MultiKrum(mean=PRODUCTS, kept=1),
        "multi_krum": MultiKrum(mean=PRODUCTS),
        "median": TrimmedMean(0.5),
        "trimmed_mean": TrimmedMean(0.3),
        "norm_bound": NormBound(mean=PRODUCTS),
    }[name]


@pytest.mark.parametrize("name", ["multi_krum", "norm_bound", "median", "trimmed_mean"])
def test_wild_factors_of_an_honest_product_spoil_a_mean_of_factors_and_none_of_products(name):
    honest = near(9)
    wild = [turned(update, i) if i < 3 else update for i, update in enumerate(honest)]
    method = robust(name)
    found, wanted = (method.aggregate(method.start(), each)[0].adapter for each in (wild, honest))
    assert distance(products(found, 1.0), products(wanted, 1.0)) < 1e-5
    if name in ("multi_krum", "norm_bound"):
        factors = replace(method, mean=FedAvg(Uniform()))
        spoilt = factors.aggregate(method.start(), wild)[0].adapter
        assert distance(products(spoilt, 1.0), products(wanted, 1.0)) > 3


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["krum", "multi_krum", "median", "trimmed_mean"])
def test_three_hostile_of_ten_leave_the_aggregate_within_the_honest_range(name, attack):
    sent, honest = attacked(attack)
    method = robust(name)
    state, report = method.aggregate(method.start(), sent)
    found = flat(AdapterUpdate("server", 1, state.adapter, 1, lora(RANK)))
    each = np.stack([flat(update) for update in honest])
    centre = each.mean(axis=0)
    reach = np.linalg.norm(each - centre, axis=1)
    assert np.linalg.norm(found - centre) < reach.max()
    if name in ("krum", "multi_krum"):
        assert {"shop_1", "shop_4", "shop_8"} <= report.flags.keys()
    mean, _ = FedAvg(Uniform()).aggregate(FedAvg().start(), sent)
    spoilt = flat(AdapterUpdate("server", 1, mean.adapter, 1, lora(RANK)))
    assert np.linalg.norm(spoilt - centre) > reach.max(), "the plain mean is drawn out of it"


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_every_number_of_the_trimmed_product_is_within_what_honest_shops_say(share, attack):
    sent, honest = attacked(attack)
    cut = {0.3: 3, 0.5: 4}[share]
    for a in products(honest[0].adapter, 1.0):
        found = trimmed_product(sent, (a, a.replace("lora_A", "lora_B")), cut)
        each = np.stack([products(update.adapter, update.scale)[a] for update in honest])
        assert (found >= each.min(axis=0) - 1e-12).all()
        assert (found <= each.max(axis=0) + 1e-12).all()


@pytest.mark.parametrize("attack", ATTACKS)
def test_within_a_bound_no_shop_adds_more_than_an_honest_one(attack):
    sent, honest = attacked(attack)
    seen: list[AdapterUpdate] = []

    class Watching(FlexLora):
        def aggregate(self, state, updates):
            seen.extend(updates)
            return super().aggregate(state, updates)

    state, report = NormBound(mean=Watching(Uniform(), lora)).aggregate(FedAvg().start(), sent)
    bound = np.median([np.linalg.norm(flat(update)) for update in sent])
    assert max(np.linalg.norm(flat(update)) for update in seen) <= bound * (1 + 1e-6)
    for before, after in zip(sent, seen, strict=True):
        length = min(np.linalg.norm(flat(before)), bound)
        assert np.linalg.norm(flat(after)) == pytest.approx(length, rel=1e-6)
        shortened = np.linalg.norm(flat(before)) > bound
        assert (before is after) == (not shortened)
        assert (report.flags.get(before.shop_id) == "shortened") == shortened
        direction = flat(after) / np.linalg.norm(flat(after))
        np.testing.assert_allclose(direction, flat(before) / np.linalg.norm(flat(before)), atol=1e-6)
    total = np.linalg.norm(flat(AdapterUpdate("server", 1, state.adapter, 1, lora(RANK))))
    assert total < max(np.linalg.norm(flat(update)) for update in honest)


@pytest.mark.parametrize(("share", "cut"), [(0.0, 0), (0.3, 1), (0.4, 2), (0.5, 2)])
def test_the_trimmed_mean_is_the_best_approximation_of_the_dense_one(share, cut, monkeypatch):
    monkeypatch.setattr(trimming, "_BLOCK", 100)  # several blocks of rows, the last one shorter
    updates = updates_of([RANK] * 5, [3, 1, 4, 1, 5])
    state, report = TrimmedMean(share).aggregate(TrimmedMean().start(), updates)
    found = products(state.adapter, lora(RANK))
    every = [products(update.adapter, update.scale) for update in updates]
    dense = {a: np.sort(np.stack([each[a] for each in every]), axis=0)[cut : 5 - cut].mean(axis=0) for a in found}
    if share == 0.5:
        assert all(np.allclose(dense[a], np.median([each[a] for each in every], axis=0)) for a in found)
    if share == 0:
        assert distance(dense, mean_product(updates, [1] * 5)) < 1e-12
    assert distance(found, {a: best_of_rank(each, RANK) for a, each in dense.items()}) < 1e-6
    assert report.relative_error > 0.1, "five products have more rank than one adapter"
    assert all(tensor.shape == updates[0].adapter[name].shape for name, tensor in state.adapter.items())
    assert list(state.adapter) == list(updates[0].adapter)


def test_a_prefix_is_trimmed_number_by_number():
    values = [np.full((2, 3), value, np.float32) for value in (1, 2, 3, 4, 1000)]
    updates = [AdapterUpdate(f"shop_{i}", 1, {"prompt": each}, 1) for i, each in enumerate(values)]
    assert np.array_equal(TrimmedMean(0.5).aggregate(TrimmedMean().start(), updates)[0].adapter["prompt"], values[2])
    assert np.array_equal(TrimmedMean(0.2).aggregate(TrimmedMean().start(), updates)[0].adapter["prompt"], values[2])


@pytest.mark.parametrize("name", ["krum", "multi_krum", "median", "trimmed_mean", "norm_bound"])
def test_equal_shops_change_nothing_and_their_order_neither(name):
    first = near(1)[0]
    equal = [replace(first, shop_id=f"shop_{i}") for i in range(9)]
    method = robust(name)
    state, _ = method.aggregate(method.start(), equal)
    wanted = products(first.adapter, first.scale)
    assert distance(products(state.adapter, first.scale), wanted) < 1e-6
    sent, _ = attacked("random")
    one, other = (method.aggregate(method.start(), each)[0] for each in (sent, sent[::-1]))
    assert distance(products(one.adapter, 1.0), products(other.adapter, 1.0)) < 1e-6


@pytest.mark.parametrize("name", ["krum", "multi_krum", "median", "trimmed_mean", "norm_bound"])
def test_a_shop_without_examples_decides_nothing(name):
    learned = near(9)
    idle = [replace(turned(u, i), num_examples=0, shop_id=f"idle_{i}") for i, u in enumerate(near(9, seed=7))]

    def aggregate(updates: Sequence[AdapterUpdate]):
        method = robust(name)
        if name == "norm_bound":
            method = replace(method, mean=FlexLora(scale_at=lora))
        return method.aggregate(method.start(), updates)[0].adapter

    alone, beside = aggregate(learned), aggregate([*idle, *learned])
    assert distance(products(beside, 1.0), products(alone, 1.0)) < 1e-6


def test_one_shop_is_its_own_aggregate():
    (only,) = near(1)
    method = robust("norm_bound")
    state, _ = method.aggregate(method.start(), [only])
    assert distance(products(state.adapter, only.scale), products(only.adapter, only.scale)) < 1e-6


def test_too_few_shops_and_too_large_modules_are_refused():
    method = MultiKrum(mean=FedAvg(), hostile_share=0.3)
    method.aggregate(method.start(), near(9))
    with pytest.raises(
        TooFewUpdates, match=r"hostile_share=0.3 of 4 updates is 1, and Krum needs more than 2 x 1 \+ 2"
    ):
        method.aggregate(method.start(), near(4))
    with pytest.raises(TooFewUpdates, match=r"hostile_share=0.3 of 3 updates is not even one"):
        method.aggregate(method.start(), near(3))
    replace(method, hostile_share=0).aggregate(method.start(), near(3))
    for share, few, least in ((0.3, 3, 4), (0.5, 2, 3), (0.1, 9, 10)):
        with pytest.raises(TooFewUpdates, match=rf"trimmed_share={share} of {few} updates leaves .* {least} or more"):
            TrimmedMean(share).aggregate(TrimmedMean().start(), near(few))
        TrimmedMean(share).aggregate(TrimmedMean().start(), near(least))
    around = NormBound(mean=replace(method, mean=TrimmedMean(0.5)))
    around.check_count(5)
    with pytest.raises(TooFewUpdates, match=r"trimmed_share=0.3 of 3 updates leaves none out"):
        MultiKrum(mean=TrimmedMean(0.3), kept=3).check_count(9)
    with pytest.raises(TooFewUpdates, match="of 4 updates is 1"):
        around.check_count(4)
    with pytest.raises(ConfigError, match=r"kept=8 of 9 updates, of which 2 may be hostile.*take 7 or less"):
        replace(method, kept=8).aggregate(method.start(), near(9))
    with pytest.raises(
        ConfigError, match=r"m.q_proj.lora_B.weight has 12 x 12 of them: above strategy.most_numbers=143"
    ):
        TrimmedMean(0.3, most_numbers=143).aggregate(TrimmedMean().start(), near(4))
    assert not MultiKrum(mean=FedAvg()).mixed_ranks
    assert all(robust(name).single_updates for name in ("krum", "median", "norm_bound"))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: MultiKrum(mean=FedAvg(), hostile_share=0.5), "strategy.hostile_share=0.5"),
        (lambda: MultiKrum(mean=FedAvg(), kept=0), "strategy.kept=0"),
        (lambda: NormBound(mean=FedAvg(), times_median=0), "strategy.times_median=0"),
        (lambda: TrimmedMean(0.6), "strategy.trimmed_share=0.6"),
        (lambda: TrimmedMean(1e-9), "strategy.trimmed_share=1e-09"),
        (lambda: TrimmedMean(0.3, most_numbers=0), "strategy.most_numbers=0"),
    ],
)
def test_settings_out_of_range_are_refused(make, named):
    with pytest.raises(ConfigError, match=named):
        make()
