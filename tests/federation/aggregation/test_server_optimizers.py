"""Server optimizers against Flower's own strategies, closed forms and the identities they must keep."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import strategy as flowers

from ecc_fed.core.aggregation import LORA_A, LORA_B, AdapterUpdate, AggregatorState, Exchange, select
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.tensors import fresh_adapter
from ecc_fed.federation.aggregation.clusters import Clusters
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedsvd import FedSvd
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.flora import Flora
from ecc_fed.federation.aggregation.frozen_sum import Bound
from ecc_fed.federation.aggregation.norm_bound import NormBound
from ecc_fed.federation.aggregation.server_optimizers import FedAdagrad, FedAdam, FedAvgM, FedYogi, ServerOptimizer
from ecc_fed.federation.aggregation.state_files import load_state, save_state
from ecc_fed.federation.aggregation.trimmed_mean import TrimmedMean
from tests.federation.aggregation.adapters import A, B, pair

SEED = 11
FRESH = fresh_adapter({A: (2, 6), B: (7, 2)}, SEED)
OURS = {
    "FedAvgM": FedAvgM(mean=FedAvg(), adapter_seed=SEED, learning_rate=0.7, momentum=0.6),
    "FedAdagrad": FedAdagrad(mean=FedAvg(), adapter_seed=SEED, learning_rate=0.3, tau=0.01),
    "FedYogi": FedYogi(mean=FedAvg(), adapter_seed=SEED, learning_rate=0.2, beta_1=0.8, beta_2=0.95, tau=0.02),
    "FedAdam": FedAdam(mean=FedAvg(), adapter_seed=SEED, learning_rate=0.2, beta_1=0.8, beta_2=0.95, tau=0.02),
}


def rounds_of_updates(count: int, shops: int = 3, names: tuple[str, ...] = (A, B)) -> list[list[AdapterUpdate]]:
    rng = np.random.default_rng(3)
    found = []
    for server_round in range(1, count + 1):
        each = [pair(rng, 7, 6, 2) for _ in range(shops)]
        found.append(
            [
                AdapterUpdate(f"shop_{i}", server_round, {name: one[name] for name in names}, i + 1, 4.0)
                for i, one in enumerate(each)
            ]
        )
    return found


def play(method: ServerOptimizer, rounds: Sequence[Sequence[AdapterUpdate]]) -> list[AggregatorState]:
    states = [method.start()]
    for updates in rounds:
        states.append(method.aggregate(states[-1], updates)[0])
    return states[1:]


def by_flower(
    theirs: flowers.FedAvg, rounds: Sequence[Sequence[AdapterUpdate]], first_round: int, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, np.ndarray]]:
    """Flower's own arithmetic after a mean that is given to it."""
    mean: dict[str, np.ndarray] = {}
    monkeypatch.setattr(flowers.FedAvg, "configure_train", lambda *a: [])
    monkeypatch.setattr(
        flowers.FedAvg, "aggregate_train", lambda *a: (ArrayRecord({n: Array(t) for n, t in mean.items()}), None)
    )
    now, found = {name: tensor.astype(np.float64) for name, tensor in FRESH.items()}, []
    for number, updates in enumerate(rounds):
        total = sum(update.num_examples for update in updates)
        mean.update({n: sum(u.num_examples / total * u.adapter[n].astype(np.float64) for u in updates) for n in FRESH})
        theirs.configure_train(number, ArrayRecord({n: Array(t) for n, t in now.items()}), ConfigRecord(), None)
        record, _ = theirs.aggregate_train(first_round + number, [])
        now = {name: array.numpy() for name, array in record.items()}
        found.append(now)
    return found


@pytest.mark.parametrize(
    ("name", "theirs", "first_round"),
    [
        ("FedAvgM", partial(flowers.FedAvgM, server_learning_rate=0.7, server_momentum=0.6), 1),
        ("FedAdagrad", partial(flowers.FedAdagrad, eta=0.3, tau=0.01), 1),
        ("FedYogi", partial(flowers.FedYogi, eta=0.2, beta_1=0.8, beta_2=0.95, tau=0.02), 1),
        # Its correction counts one round too many: with rounds from 0 it is Kingma & Ba's.
        ("FedAdam", partial(flowers.FedAdam, eta=0.2, beta_1=0.8, beta_2=0.95, tau=0.02), 0),
    ],
)
def test_steps_are_those_of_flowers_own_strategies(name, theirs, first_round, monkeypatch):
    rounds = rounds_of_updates(5)
    expected = by_flower(theirs(), rounds, first_round, monkeypatch)
    for state, theirs_now in zip(play(OURS[name], rounds), expected, strict=True):
        for tensor in (A, B):
            np.testing.assert_allclose(state.adapter[tensor], theirs_now[tensor], rtol=2e-5, atol=2e-6)
            assert state.adapter[tensor].dtype == np.float32


def test_the_first_step_of_adam_is_its_rate_towards_the_mean_whatever_the_distance():
    """c_1 m_1 / sqrt(v_1) = Delta / |Delta|: the rate, but for tau."""
    method = FedAdam(mean=FedAvg(), adapter_seed=SEED, learning_rate=0.05, tau=1e-9)
    (updates,) = rounds_of_updates(1)
    mean = FedAvg().aggregate(FedAvg().start(), updates)[0].adapter
    (state,) = play(method, [updates])
    for name in FRESH:
        np.testing.assert_allclose(
            state.adapter[name] - FRESH[name], 0.05 * np.sign(mean[name] - FRESH[name]), atol=1e-6
        )


def test_a_rate_of_one_without_momentum_is_the_mean_bit_for_bit():
    method = FedAvgM(mean=FedAvg(), adapter_seed=SEED, learning_rate=1.0, momentum=0.0)
    rounds = rounds_of_updates(3)
    state = FedAvg().start()
    for updates, found in zip(rounds, play(method, rounds), strict=True):
        state, _ = FedAvg().aggregate(state, updates)
        assert all(np.array_equal(found.adapter[name], state.adapter[name]) for name in state.adapter)


@pytest.mark.parametrize("name", OURS)
def test_shops_that_did_not_move_leave_a_server_without_momentum_where_it_was(name):
    still = [AdapterUpdate(f"shop_{i}", 1, FRESH, 5, 4.0) for i in range(3)]
    for state in play(OURS[name], [still, still]):
        assert all(np.array_equal(state.adapter[each], FRESH[each]) for each in FRESH)


@pytest.mark.parametrize("name", OURS)
def test_the_order_of_shops_is_nothing_to_a_step(name):
    rounds = rounds_of_updates(3)
    turned = [list(reversed(updates)) for updates in rounds]
    for one, other in zip(play(OURS[name], rounds), play(OURS[name], turned), strict=True):
        for tensor in (A, B):
            np.testing.assert_allclose(one.adapter[tensor], other.adapter[tensor], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_a_run_goes_on_from_a_saved_state_bit_for_bit(name, tmp_path):
    method, rounds = OURS[name], rounds_of_updates(4)
    whole = play(method, rounds)
    save_state(tmp_path / "state", whole[1])
    state = load_state(tmp_path / "state")
    for updates in rounds[2:]:
        state, _ = method.aggregate(state, updates)
    assert state.scalars == whole[-1].scalars == {"server.steps": 4.0}
    for part in ("adapter", "tensors"):
        left, right = getattr(state, part), getattr(whole[-1], part)
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[each], right[each]) for each in left)


class ByTurns(FedAvg):
    """B in odd rounds and A in even ones; the server holds both, and something of its own."""

    def exchange(self, server_round: int) -> Exchange:
        factor = LORA_B if server_round % 2 else LORA_A
        return Exchange(factor, factor)

    def aggregate(self, state, updates):
        assert not [name for name in (*state.tensors, *state.scalars) if name.startswith("server.")]
        mean, report = super().aggregate(state, updates)
        adapter: AdapterState = {**(state.adapter or {}), **mean.adapter}
        mine = {"mine": state.tensors.get("mine", np.zeros(1, np.float32)) + 1}
        return AggregatorState(adapter, mine, scalars={"mine": 2.0}), report


def test_an_idle_factor_waits_with_its_moments_and_the_mean_keeps_what_is_its_own():
    method = FedAvgM(mean=ByTurns(), adapter_seed=SEED, momentum=0.9)
    assert method.exchange(1) == Exchange(LORA_B, LORA_B)
    names = [(B,), (A,), (B,)]
    rounds = [rounds_of_updates(3, names=each)[i] for i, each in enumerate(names)]
    first, second, third = play(method, rounds)
    assert set(first.adapter) == {B}
    assert np.array_equal(second.adapter[B], first.adapter[B]), "momentum must not move what nobody trained"
    assert np.array_equal(second.tensors[f"server.m.{B}"], first.tensors[f"server.m.{B}"])
    assert not np.array_equal(third.adapter[B], second.adapter[B])
    assert np.array_equal(third.adapter[A], second.adapter[A])
    assert (third.tensors["mine"], third.scalars) == (3, {"mine": 2.0, "server.steps": 3.0})


def test_it_is_what_its_mean_is_and_the_report_is_the_means_but_for_the_step():
    class Odd(FedAvg):
        mixed_ranks, single_updates, pairs_only = True, True, True

        def downlink(self, state, shop_id):
            return select(state.adapter, LORA_A)

    method = FedAvgM(mean=Odd(), adapter_seed=SEED)
    assert (method.mixed_ranks, method.single_updates, method.pairs_only) == (True, True, True)
    rounds = rounds_of_updates(2)
    first, second = play(method, rounds)
    assert set(method.downlink(first, "shop_0")) == {A}
    report, plain = method.aggregate(first, rounds[1])[1], FedAvg().aggregate(first, rounds[1])[1]
    assert report.relative_error == plain.relative_error
    moved = sum(float(((second.adapter[n].astype(float) - first.adapter[n]) ** 2).sum()) for n in FRESH) ** 0.5
    assert report.update_norm == pytest.approx(moved, rel=1e-6)
    assert report.update_norm != pytest.approx(plain.update_norm, rel=1e-2)


def test_what_a_server_cannot_start_from_is_refused_by_name():
    (updates,) = rounds_of_updates(1)
    magnitude = "m.q_proj.lora_magnitude_vector"
    dora = [replace(u, adapter={**u.adapter, magnitude: np.ones(7, np.float32)}) for u in updates]
    with pytest.raises(ConfigError, match=f"FedAdam must know what {magnitude} started from.*Take adapter=lora"):
        play(OURS["FedAdam"], [dora])

    class Anew(FedAvg):
        """Forgets what it had."""

        def aggregate(self, state, updates):
            return super().aggregate(FedAvg().start(), updates)

    grown = [replace(u, adapter=pair(np.random.default_rng(0), 7, 6, 3)) for u in updates]
    with pytest.raises(ConfigError, match=r"FedYogi cannot go on from Anew: .* had shape \(2, 6\) and now has \(3, 6"):
        play(replace(OURS["FedYogi"], mean=Anew()), [updates, grown])


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (FlexLora(), "strategy FedAdam .* FlexLora sends factors that are turned"),
        (NormBound(mean=FlexLora()), "NormBound around FlexLora sends factors that are turned"),
        (TrimmedMean(), "TrimmedMean sends factors that are turned"),
        (FedSvd(), "FedSvd sends factors that are turned"),
        (Flora(Bound(8, 0.9), 0), "Flora sends factors that are turned"),
        (Clusters(), "Clusters sends every group its own"),
        (NormBound(mean=Clusters()), "NormBound around Clusters sends every group its own"),
        (FedAvgM(mean=FedAvg(), adapter_seed=0), "strategy FedAdam around another step of the server"),
        (NormBound(mean=FedAvgM(mean=FedAvg(), adapter_seed=0)), "around another step of the server"),
    ],
)
def test_a_mean_on_which_no_step_can_be_taken_is_refused_by_name(mean, message):
    with pytest.raises(ConfigError, match=message):
        FedAdam(mean=mean, adapter_seed=0)
    FedAdam(mean=NormBound(mean=FedAvg()), adapter_seed=0)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (FedAvgM, {"learning_rate": -1}),
        (FedAvgM, {"momentum": 1.0}),
        (FedAdagrad, {"tau": 0}),
        (FedYogi, {"beta_1": 1}),
        (FedAdam, {"beta_2": -0.1}),
        (FedAdam, {"tau": "x"}),
    ],
)
def test_settings_out_of_range_are_refused(kind, setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"strategy.{name}="):
        kind(mean=FedAvg(), adapter_seed=0, **setting)
