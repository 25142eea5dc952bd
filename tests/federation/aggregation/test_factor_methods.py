"""FFA-LoRA, FedSA-LoRA, RoLoRA, FedSVD, LoRA-FAIR, FedRot-LoRA: what is each one's own, and published mistakes."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import LORA_A, LORA_B, AdapterUpdate, AggregatorState, select
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedrot_lora import FedRotLora, rotation_onto
from ecc_fed.federation.aggregation.fedsa_lora import FedSaLora
from ecc_fed.federation.aggregation.fedsvd import FedSvd, refactored
from ecc_fed.federation.aggregation.ffa_lora import FfaLora
from ecc_fed.federation.aggregation.lora_fair import LoraFair
from ecc_fed.federation.aggregation.rolora import RoLora
from tests.federation.aggregation.dense import distance, drawn, lora, mean_product, products, updates_of

A, B = "m.q_proj.lora_A.weight", "m.q_proj.lora_B.weight"


def only(updates: list[AdapterUpdate], patterns: tuple[str, ...]) -> list[AdapterUpdate]:
    return [replace(update, adapter=select(update.adapter, patterns)) for update in updates]


def test_the_mean_is_of_all_shops_and_not_of_the_first():
    """A misspelt name in a much-copied file keeps the first client's weights alone."""
    updates = updates_of([2] * 3, [1, 1, 2])
    state, _ = FedAvg().aggregate(AggregatorState(), updates)
    for name in (A, B):
        by_hand = sum(w * u.adapter[name].astype(np.float64) for w, u in zip((0.25, 0.25, 0.5), updates, strict=True))
        np.testing.assert_allclose(state.adapter[name], by_hand, rtol=1e-6, atol=1e-7)


def test_ffa_sends_b_alone_and_its_error_is_that_of_b():
    method = FfaLora()
    updates = only(updates_of([2] * 2, [1, 3]), LORA_B)
    state, report = method.aggregate(method.start(), updates)
    assert set(state.adapter) == {name for name in drawn(np.random.default_rng(0), 2) if ".lora_B." in name}
    assert report.relative_error < 1e-6
    mixed = [updates[0], replace(updates[1], scale=2 * updates[1].scale)]
    assert method.aggregate(method.start(), mixed)[1].relative_error > 1e-2, "one mean of B serves no two scales"


def test_fedsa_never_sees_b():
    method = FedSaLora()
    state, report = method.aggregate(method.start(), only(updates_of([2] * 2, [1, 3]), LORA_A))
    assert all(".lora_A." in name for name in method.downlink(state, "shop_0"))
    assert report.relative_error is None
    assert report.update_bytes["shop_0"] == 4 * 2 * (12 + 12 + 9)


def test_rolora_begins_with_b_and_leaves_the_idle_factor_bit_for_bit():
    method = RoLora()
    assert method.exchange(1).train == LORA_B, "A's gradient is zero while B is"
    state, _ = method.aggregate(method.start(), only(updates_of([2] * 2, [1, 3], seed=1), LORA_B))
    assert all(".lora_B." in name for name in state.adapter)
    second, report = method.aggregate(state, only(updates_of([2] * 2, [1, 3], seed=2, server_round=2), LORA_A))
    assert all(second.adapter[name] is state.adapter[name] for name in state.adapter)
    assert report.relative_error < 1e-6
    assert report.aggregate_rank == 2
    third, report = method.aggregate(second, only(updates_of([2] * 2, [2, 1], seed=3, server_round=3), LORA_B))
    assert all(third.adapter[name] is second.adapter[name] for name in second.adapter if ".lora_A." in name)
    assert report.update_norm > 0
    assert method.downlink(third, "late") is third.adapter, "who missed a round gets both factors"


def test_rolora_tells_no_error_of_an_a_beside_a_b_that_it_never_saw():
    method = RoLora()
    _, report = method.aggregate(method.start(), only(updates_of([2] * 2, [1, 3], server_round=2), LORA_A))
    assert report.relative_error is None


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_fedsvd_turns_factors_and_leaves_the_product_whatever_the_scale(scale):
    adapter = drawn(np.random.default_rng(4), 3)
    turned = refactored(adapter)
    assert distance(products(turned, scale), products(adapter, scale)) < 1e-6
    for name, a in select(turned, LORA_A).items():
        np.testing.assert_allclose(a.astype(np.float64) @ a.T, np.eye(3), atol=1e-6)
        gram = turned[name.replace("lora_A", "lora_B")].astype(np.float64)
        gram = gram.T @ gram
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-4)
        assert (np.diff(np.diag(gram)) <= 0).all()


def test_fedsvd_needs_a_once_and_does_without_until_it_has_it():
    method = FedSvd()
    updates = updates_of([2] * 2, [1, 3])
    common = select(updates[0].adapter, LORA_A)
    updates = [replace(update, adapter={**update.adapter, **common}) for update in updates]
    knowing, _ = method.aggregate(method.start(), updates)
    assert not np.allclose(knowing.adapter[A], common[A]), "A has turned"
    later = only(updates_of([2] * 2, [1, 3], seed=5, server_round=2), LORA_B)
    after, report = method.aggregate(knowing, later)
    whole = [replace(update, adapter={**select(knowing.adapter, LORA_A), **update.adapter}) for update in later]
    assert distance(products(after.adapter, lora(2)), mean_product(whole)) < 1e-6
    assert report.relative_error < 1e-6
    blind, report = method.aggregate(method.start(), later)
    assert all(".lora_B." in name for name in blind.adapter)
    assert report.relative_error < 1e-6


def test_lora_fair_is_the_least_squares_b_for_the_mean_a():
    updates = updates_of([2] * 4, [5, 1, 3, 7])
    mean = mean_product(updates)
    plain, _ = FedAvg().aggregate(AggregatorState(), updates)
    best, report = LoraFair(0.0).aggregate(AggregatorState(), updates)
    damped, _ = LoraFair(1e9).aggregate(AggregatorState(), updates)
    scale = lora(2)
    for name_a, wanted in mean.items():
        name_b = name_a.replace("lora_A", "lora_B")
        a = plain.adapter[name_a].astype(np.float64)
        assert np.array_equal(best.adapter[name_a], plain.adapter[name_a])
        b = np.linalg.lstsq(scale * a.T, wanted.T, rcond=None)[0].T
        np.testing.assert_allclose(best.adapter[name_b], b, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(damped.adapter[name_b], plain.adapter[name_b], atol=1e-6)
    assert report.relative_error < 0.98 * distance(products(plain.adapter, scale), mean)
    # An A whose rows depend on each other has no inverse Gram matrix.
    twice = [
        replace(u, adapter={n: t[[0, 0]] if ".lora_A." in n else t for n, t in u.adapter.items()}) for u in updates
    ]
    state, _ = LoraFair(0.0).aggregate(AggregatorState(), twice)
    assert all(np.isfinite(tensor).all() for tensor in state.adapter.values())
    with pytest.raises(ConfigError, match=r"strategy\.penalty=-1 is out of range: 0 or more"):
        LoraFair(-1)


def turned(adapter, rng):
    rotations = {}
    for name in adapter:
        stem = name.split(".lora_")[0]
        if stem not in rotations:
            # Of rank 3: numpy's of rank 2 are reflections, which are their own transposes.
            rotations[stem] = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return {
        name: (
            rotations[name.split(".lora_")[0]] @ tensor
            if ".lora_A." in name
            else tensor @ rotations[name.split(".lora_")[0]].T
        ).astype(np.float32)
        for name, tensor in adapter.items()
    }


def test_fedrot_finds_back_what_only_a_rotation_keeps_apart():
    rng = np.random.default_rng(6)
    adapter = drawn(rng, 3)
    updates = [AdapterUpdate(f"shop_{i}", 2, turned(adapter, rng), 1 + i, lora(3)) for i in range(4)]
    _, apart = FedAvg().aggregate(AggregatorState(), updates)
    state, report = FedRotLora().aggregate(AggregatorState(adapter), updates)
    assert apart.relative_error > 0.1
    assert report.relative_error < 1e-6
    assert all(np.allclose(state.adapter[name], tensor, atol=1e-5) for name, tensor in adapter.items())


def test_fedrots_rotation_is_orthogonal_and_the_closest():
    rng = np.random.default_rng(7)
    own_a, own_b, a, b = (rng.standard_normal(shape) for shape in ((3, 9), (5, 3), (3, 9), (5, 3)))
    rotation = rotation_onto(own_a, own_b, a, b)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)

    def gap(r: np.ndarray) -> float:
        return float(np.sum((r @ own_a - a) ** 2) + np.sum((own_b @ r.T - b) ** 2))

    others = [np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(200)]
    assert gap(rotation) < min(map(gap, others))


def test_fedrot_is_closer_than_plain_means_where_shops_have_drifted():
    rng = np.random.default_rng(8)
    adapter = drawn(rng, 3)
    near = [
        {n: t + 0.1 * rng.standard_normal(t.shape).astype(np.float32) for n, t in adapter.items()} for _ in range(4)
    ]
    updates = [AdapterUpdate(f"shop_{i}", 2, turned(each, rng), 1, lora(3)) for i, each in enumerate(near)]
    _, plain = FedAvg().aggregate(AggregatorState(), updates)
    _, report = FedRotLora().aggregate(AggregatorState(adapter), updates)
    assert report.relative_error < 0.3 * plain.relative_error
