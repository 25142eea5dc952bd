"""Noise for whole shops, against Flower's own wrapper and Google's accountant."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from flwr.supercore.differential_privacy import compute_stdv

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.aggregation import AdapterUpdate, AggregatorState
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.tensors import fresh_adapter
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.ffa_lora import FfaLora
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.shop_privacy import ShopPrivacy
from ecc_fed.federation.aggregation.weights import Uniform
from tests.federation.aggregation.adapters import A, B, pair

pytest.importorskip("opacus", reason="needs pip install 'ecc_fed[privacy]'")
ALIKE = FedAvg(Uniform())


def method(**changed: object) -> ShopPrivacy:
    given = {"mean": ALIKE, "adapter_seed": 3, "server_rounds": 4, "epsilon": 8.0, "delta": 1e-3}
    return ShopPrivacy(**(given | changed))  # type: ignore[arg-type]


def updates(count: int, seed: int = 0, size: float = 1.0) -> list[AdapterUpdate]:
    rng = np.random.default_rng(seed)
    adapters = [{n: (size * t).astype(np.float32) for n, t in pair(rng, 6, 5, 2).items()} for _ in range(count)]
    return [AdapterUpdate(f"shop_{i}", 1, each, 7 + i, 4.0) for i, each in enumerate(adapters)]


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShopPrivacy, "_noise", lambda self: 0.0)


def by_flower(found: list[AdapterUpdate], start: AdapterState, norm: float) -> AdapterState:
    """Flower's own clipping and mean, without noise."""
    wrapper = DifferentialPrivacyServerSideFixedClipping(FlowerFedAvg(), 0.0, norm, len(found))
    names = list(start)
    wrapper.current_arrays = ArrayRecord({name: Array(start[name]) for name in names})
    replies = []
    for number, update in enumerate(found):
        asked = Message(RecordDict(), number + 1, MessageType.TRAIN)
        arrays = ArrayRecord({name: Array(update.adapter[name]) for name in names})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
        replies.append(Message(content, reply_to=asked))
    arrays, _ = wrapper.aggregate_train(1, replies)
    assert arrays is not None
    return {name: array.numpy() for name, array in arrays.items()}


@pytest.mark.parametrize("norm", [0.3, 2.0, 1e3])
def test_without_noise_it_is_flowers_wrapper(monkeypatch: pytest.MonkeyPatch, norm: float) -> None:
    quiet(monkeypatch)
    found, before = updates(5), updates(1, seed=9)[0].adapter
    after, report = method(clipping_norm=norm).aggregate(AggregatorState(before), found)
    for name, tensor in by_flower(found, before, norm).items():
        np.testing.assert_allclose((after.adapter or {})[name], tensor, atol=2e-6)
    assert (set(report.flags.values()) == {"shortened"}) is (norm < 1e3)


def test_the_first_round_is_bounded_against_the_fresh_adapter_that_shops_start_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet(monkeypatch)
    found = updates(3, size=50.0)
    after, _ = method(clipping_norm=0.5).aggregate(AggregatorState(), found)
    fresh = fresh_adapter({name: tensor.shape for name, tensor in found[0].adapter.items()}, 3)
    moved = sum(float(np.sum(((after.adapter or {})[name] - fresh[name]) ** 2)) for name in fresh) ** 0.5
    assert 0 < moved <= 0.5


def test_one_shop_moves_the_mean_by_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    before, found = updates(1, seed=9)[0].adapter, updates(4)
    wild = [*found[:3], replace(found[3], adapter=updates(1, seed=5, size=1e4)[0].adapter)]
    one, other = (
        method(clipping_norm=0.7).aggregate(AggregatorState(before), each)[0].adapter for each in (found, wild)
    )
    gap = sum(float(np.sum(((one or {})[name] - (other or {})[name]) ** 2)) for name in before) ** 0.5
    assert 0 < gap <= 2 * 0.7 / 4 + 1e-6


def test_noise_is_as_large_as_it_says_new_in_every_round_and_of_the_runs_seed() -> None:
    rng = np.random.default_rng(0)
    sent = {A: rng.standard_normal((8, 3000)).astype(np.float32), B: np.zeros((4000, 8), np.float32)}
    still = [AdapterUpdate(f"shop_{i}", 1, sent, 5, 4.0) for i in range(10)]
    one = method(clipping_norm=2.0)

    def noise(state: AggregatorState, of: ShopPrivacy = one) -> tuple[AggregatorState, np.ndarray]:
        after, _ = of.aggregate(state, still)
        return after, np.concatenate([((after.adapter or {})[n] - sent[n]).ravel() for n in sent])

    first_state, first = noise(AggregatorState(sent))
    expected = compute_stdv(one.noise_multiplier, 2.0, 10)
    assert np.std(first) == pytest.approx(expected, rel=0.02) and abs(np.mean(first)) < 0.01
    again = replace(first_state, adapter=sent)
    _, second = noise(again)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02, "a second round has noise of its own"
    np.testing.assert_array_equal(noise(AggregatorState(sent))[1], first)
    other = noise(AggregatorState(sent), method(clipping_norm=2.0, adapter_seed=4))[1]
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.02
    unseeded = [noise(AggregatorState(sent), method(clipping_norm=2.0, seeded_noise=False))[1] for _ in range(2)]
    assert np.std(unseeded[0]) == pytest.approx(expected, rel=0.02) and abs(np.corrcoef(*unseeded)[0, 1]) < 0.02


def test_the_budget_holds_for_all_rounds_and_little_is_left() -> None:
    for rounds in (1, 4, 20):
        of = method(server_rounds=rounds)
        assert 0.97 * 8 <= of.spent(rounds) <= 8.0
        assert of.spent(0) == 0.0 and (rounds == 1 or of.spent(1) < of.spent(rounds))


def test_googles_accountant_agrees_and_flowers_bound_lies_above() -> None:
    accounting = pytest.importorskip("dp_accounting", reason="needs the package dp-accounting")
    from dp_accounting.pld import PLDAccountant
    from flwr.supercore.privacy_accounting import (
        GaussianPrivacyEvent,
        NeighboringRelation,
        PrivacyConfig,
        SamplingMethod,
    )
    from flwr.supercore.privacy_accounting.rdp_accountant import RdpAccountant

    of = method()
    google = PLDAccountant()
    google.compose(accounting.GaussianDpEvent(of.noise_multiplier), 4)
    assert of.spent(4) == pytest.approx(google.get_epsilon(1e-3), rel=0.02)
    relation, sampling = NeighboringRelation.ADD_OR_REMOVE_ONE, SamplingMethod.NO_AMPLIFICATION
    flower = RdpAccountant(PrivacyConfig(1e-3, 10, relation, sampling))
    flower.compose(GaussianPrivacyEvent(of.noise_multiplier, 10, 10), 4)
    assert of.spent(4) <= flower.get_epsilon(1e-3) <= 1.25 * of.spent(4)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mean": FlexLora(scale_at=lambda _: 1.0, weights=Uniform())}, "not how far it moves that of FlexLora"),
        ({"mean": FedAvg()}, "its mean weighs by ByExamples"),
        ({"epsilon": 0.0}, r"strategy\.epsilon=0"),
        ({"delta": 0.9}, r"strategy\.delta=0\.9"),
        ({"clipping_norm": 0.0}, r"strategy\.clipping_norm=0"),
        ({"epsilon": 0.002, "server_rounds": 1000}, "no noise keeps 1000 rounds within it"),
    ],
)
def test_what_cannot_be_kept_is_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        method(**changed)


def test_a_delta_that_promises_a_shop_nothing_is_refused_before_the_run_starts() -> None:
    method(delta=1e-3).check_count(100)
    with pytest.raises(ConfigError, match=r"delta=0\.001 is too large for 101 shops: .* Take strategy\.delta=0\.0001"):
        method(delta=1e-3).check_count(101)
    plan = build_plan(to_run_config(compose_run(["arm=aggregated", "strategy=shop_dp", "strategy.delta=0.1"])))
    with pytest.raises(ConfigError, match=r"strategy\.delta=0\.1 is too large for 4 shops"):
        plan.check_shops(["a", "b", "c", "d"])


def test_a_run_is_told_how_many_rounds_there_are_and_frozen_a_goes_with_it() -> None:
    chosen = ["arm=aggregated", "strategy=shop_dp", "evolution.server_rounds=6"]
    plan = build_plan(to_run_config(compose_run(chosen)))
    assert isinstance(plan.aggregator, ShopPrivacy) and plan.aggregator.server_rounds == 6
    assert plan.aggregator.spent(6) <= 8.0 < plan.aggregator.spent(7)
    assert method(mean=FfaLora(Uniform())).exchange(1).up == FfaLora().exchange(1).up
    with pytest.raises(ConfigError, match="secure_aggregation"):
        build_plan(to_run_config(compose_run([*chosen, "secure_aggregation=secagg_plus"])))
