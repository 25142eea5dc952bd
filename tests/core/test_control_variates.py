"""SCAFFOLD's arithmetic against the paper's Algorithm 1, option II, in float64 on quadratics."""

import numpy as np
import pytest

from ecc_fed.core.aggregation import AdapterUpdate, AggregatorState
from ecc_fed.core.control_variates import change_to, correction, moved
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.aggregation.clusters import Clusters
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.norm_bound import NormBound
from ecc_fed.federation.aggregation.scaffold import Scaffold
from ecc_fed.federation.aggregation.state_files import load_state, save_state
from ecc_fed.federation.aggregation.weights import Uniform

SHOPS, SIZE, STEPS, RATE = 4, 3, 5, 0.1
RNG = np.random.default_rng(0)
ROOTS = RNG.standard_normal((SHOPS, SIZE, SIZE))
CURVES = np.stack([root @ root.T / SIZE + 0.2 * np.eye(SIZE) for root in ROOTS])
CENTRES = 3 * RNG.standard_normal((SHOPS, SIZE))
# Of the run's four shops, these take part.
ROUNDS = [(0, 1, 2, 3), (0, 2), (1, 3), (3,), (0, 1, 2, 3)]
METHOD = Scaffold(mean=FedAvg(Uniform()))


def gradient(shop: int, at: np.ndarray) -> np.ndarray:
    """Of 1/2 (x - b)^T H (x - b)."""
    return CURVES[shop] @ (at - CENTRES[shop])


def by_the_paper(rounds) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """x, c and all c_i after every round: c_i+ = c_i - c + (x - y_i) / (K eta)."""
    x, c, own = np.zeros(SIZE), np.zeros(SIZE), np.zeros((SHOPS, SIZE))
    found = []
    for present in rounds:
        ends, changes = [], []
        before = own.copy()
        for shop in present:
            y = x.copy()
            for _ in range(STEPS):
                y -= RATE * (gradient(shop, y) - before[shop] + c)
            own[shop] = before[shop] - c + (x - y) / (STEPS * RATE)
            ends.append(y)
            changes.append(own[shop] - before[shop])
        x = x + np.mean([y - x for y in ends], axis=0)
        c = c + len(present) / SHOPS * np.mean(changes, axis=0)
        found.append((x.copy(), c.copy(), own.copy()))
    return found


def by_ours(rounds, method=METHOD) -> list[tuple[AggregatorState, list[dict[str, np.ndarray]]]]:
    """The same shops, by the functions that a device and the server use."""
    state, own = AggregatorState({"w": np.zeros(SIZE, np.float32)}, num_shops=SHOPS), [{} for _ in range(SHOPS)]
    found = []
    for number, present in enumerate(rounds, 1):
        updates = []
        for shop in present:
            added = correction(state.control, own[shop]).get("w", np.zeros(SIZE)).astype(np.float64)
            y, seen = state.adapter["w"].astype(np.float64), []
            for _ in range(STEPS):
                seen.append(gradient(shop, y))
                y = y - RATE * (seen[-1] + added)
            change = change_to({"w": np.mean(seen, axis=0).astype(np.float32)}, own[shop])
            own[shop] = moved(own[shop], change)
            updates.append(AdapterUpdate(f"s{shop}", number, {"w": y.astype(np.float32)}, 7 + shop, control=change))
        state, _ = method.aggregate(state, updates)
        found.append((state, [dict(each) for each in own]))
    return found


def test_it_is_the_papers_option_two():
    for (x, c, own), (state, ours) in zip(by_the_paper(ROUNDS), by_ours(ROUNDS), strict=True):
        np.testing.assert_allclose(state.adapter["w"], x, atol=2e-5)
        np.testing.assert_allclose(state.control["w"], c, atol=2e-5)
        for shop, each in enumerate(ours):
            np.testing.assert_allclose(each.get("w", np.zeros(SIZE)), own[shop], atol=2e-5)
    mean = np.mean([each["w"] for each in ours], axis=0)
    np.testing.assert_allclose(state.control["w"], mean, atol=1e-5, err_msg="c is the mean of all c_i")


def test_it_comes_to_the_common_optimum_and_plain_averaging_beside_it():
    optimum = np.linalg.solve(CURVES.sum(axis=0), np.einsum("sij,sj->i", CURVES, CENTRES))
    everyone = [tuple(range(SHOPS))] * 200
    ours = by_ours(everyone)[-1][0].adapter["w"]
    np.testing.assert_allclose(ours, optimum, atol=1e-4)

    x = np.zeros(SIZE)
    for _ in everyone:
        ends = []
        for shop in range(SHOPS):
            y = x.copy()
            for _ in range(STEPS):
                y -= RATE * gradient(shop, y)
            ends.append(y)
        x = np.mean(ends, axis=0)
    assert np.linalg.norm(x - optimum) > 0.05


def test_variates_of_zero_leave_the_mean_as_it_is_and_idle_shops_change_none():
    updates = [
        AdapterUpdate(f"s{i}", 1, {"w": np.float32([i, 1])}, i, control={"w": np.zeros(2, np.float32)})
        for i in (0, 1, 4)
    ]
    state, report = METHOD.aggregate(AggregatorState(num_shops=9), updates)
    plain, told = FedAvg(Uniform()).aggregate(AggregatorState(), updates)
    assert np.array_equal(state.adapter["w"], plain.adapter["w"])
    assert not state.control["w"].any()
    assert report.relative_error == told.relative_error
    assert report.update_bytes == dict.fromkeys(("s0", "s1", "s4"), 16), "the variate's bytes count"
    wild = AdapterUpdate("s0", 1, {"w": np.float32([0, 1])}, 0, control={"w": np.float32([9, 9])})
    assert not METHOD.aggregate(AggregatorState(num_shops=9), [wild, *updates[1:]])[0].control["w"].any()
    apart = AdapterUpdate("s1", 1, {"w": np.float32([1, 1])}, 1, control={"w": np.float32([9, 18])})
    after = METHOD.aggregate(AggregatorState(num_shops=9), [apart])[0]
    assert after.control["w"].tolist() == [1, 2], "a ninth, as of nine shops one took part"


def test_with_one_shop_the_servers_variate_is_its_own_bit_for_bit():
    rng, own, server = np.random.default_rng(3), {}, {}
    for scale in (1.0, 1e-3, 10.0, 1e-4, 0.3):
        change = change_to({"w": (scale * rng.standard_normal(500)).astype(np.float32)}, own)
        own, server = moved(own, change), moved(server, change, 1.0)
        assert not correction(server, own)["w"].any()


def test_a_factor_that_waits_keeps_its_variate():
    own = {"a": np.float32([1]), "b": np.float32([2])}
    after = moved(own, {"b": np.float32([1])})
    assert (after["a"].tolist(), after["b"].tolist()) == ([1], [3])
    assert correction({"b": np.float32([5])}, own) == {"b": np.float32([3]), "a": np.float32([-1])}


def test_the_servers_variate_survives_on_disk(tmp_path):
    state = by_ours(ROUNDS[:2])[-1][0]
    save_state(tmp_path / "s.safetensors", state)
    back = load_state(tmp_path / "s.safetensors")
    assert np.array_equal(back.control["w"], state.control["w"])
    assert back.num_shops == SHOPS


@pytest.mark.parametrize("mean", [FlexLora(), Clusters(), NormBound(mean=FlexLora())])
def test_means_without_steady_factors_are_refused(mean):
    with pytest.raises(ConfigError, match=r"strategy Scaffold .* sends"):
        Scaffold(mean=mean)
