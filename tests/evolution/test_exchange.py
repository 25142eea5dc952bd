"""What a device makes of the server's tensors, of what may train, and of what goes up."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.aggregation import EVERYTHING, LORA_A, LORA_B, NOTHING, Exchange
from ecc_fed.core.run_directory import RunDirectory, read_jsonl
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.downlink import fitted, received
from ecc_fed.evolution.settings import Services
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.evolution.uplink import Uplink
from tests.evolution.fakes import NAMES, CountingModel, services, settings, shop, truth_of, write_adapter

A, B = NAMES


def device(folder: Path, given: Services | None = None, uplink: Uplink | None = None) -> ShopDevices:
    shops = [shop()]
    return ShopDevices(
        shops,
        truth_of(shops),
        given or services(),
        settings(),
        RunDirectory(folder),
        write_adapter,
        seed=0,
        uplink=uplink or Uplink(lambda rank: 32 / rank),
    )


def test_incoming_tensors_take_the_place_of_the_shops_own_and_the_others_stay(tmp_path: Path) -> None:
    shops = device(tmp_path)
    first = shops.train("shop_0", 1, None)
    incoming = {A: np.full((2, 3), 9, np.float32)}
    second = shops.train("shop_0", 2, incoming)
    assert np.array_equal(second.adapter[A], incoming[A])
    assert np.all(second.adapter[B] > first.adapter[B])  # trained on from its own B


@pytest.mark.parametrize(
    ("exchange", "sent"),
    [
        (Exchange(LORA_B, LORA_A), {A}),
        (Exchange(EVERYTHING, LORA_B), {B}),
        (Exchange(LORA_A, EVERYTHING), {A, B}),
        (Exchange(LORA_A, NOTHING), set()),
    ],
)
def test_what_may_train_reaches_the_end_model_and_what_goes_up_the_server(
    tmp_path: Path, exchange: Exchange, sent: set[str]
) -> None:
    given = services()
    update = device(tmp_path, given).train("shop_0", 1, None, exchange)
    assert isinstance(given.end_model, CountingModel)
    assert {job.trained for job in given.end_model.jobs} == {exchange.train}
    assert set(update.adapter) == sent
    assert (update.shop_id, update.server_round, update.scale) == ("shop_0", 1, 16.0)
    assert set(load_state(tmp_path / "shops" / "shop_0", 1).adapter) == {A, B}


@pytest.mark.parametrize(("up", "pulled"), [(EVERYTHING, {A, B}), (LORA_A, {A}), (NOTHING, set())])
def test_a_round_is_pulled_to_where_it_began_as_far_as_that_goes_up(
    tmp_path: Path, up: tuple[str, ...], pulled: set[str]
) -> None:
    given = services()
    shops = device(tmp_path, given)
    shops.train("shop_0", 1, None)
    own, incoming = load_state(tmp_path / "shops" / "shop_0", 1).adapter, {A: np.full((2, 3), 9, np.float32)}
    given.end_model.jobs.clear()
    shops.settings = settings(cycles=2)
    shops.train("shop_0", 2, incoming, Exchange(EVERYTHING, up))
    jobs = given.end_model.jobs
    assert len(jobs) == 2, "every cycle of the round is pulled to the round's start"
    start = {**own, **incoming}
    for job in jobs:
        assert set(job.anchor) == pulled
        assert all(np.array_equal(job.anchor[name], start[name]) for name in pulled)
    assert not np.array_equal(jobs[1].adapter[B], start[B])


def test_transforms_change_what_leaves_and_nothing_at_home(tmp_path: Path) -> None:
    class Halfway:
        sums_only = False

        def on_device(self, update, start):
            half = {name: (start[name] + tensor) / 2 for name, tensor in update.adapter.items()}
            return replace(update, adapter=half)

    plain = device(tmp_path / "plain").train("shop_0", 1, None)
    shops = device(tmp_path / "half", uplink=Uplink(transforms=(Halfway(),)))
    update = shops.train("shop_0", 1, None)
    assert np.array_equal(update.adapter[B], plain.adapter[B] / 2)  # B starts at zero
    assert np.array_equal(load_state(tmp_path / "half" / "shops" / "shop_0", 1).adapter[B], plain.adapter[B])
    # The next round's step is taken from where that round began: here from what was sent.
    incoming = {A: plain.adapter[A], B: np.full((3, 2), 40, np.float32)}
    trained = device(tmp_path / "plain").train("shop_0", 2, incoming)
    assert np.array_equal(shops.train("shop_0", 2, incoming).adapter[B], (40 + trained.adapter[B]) / 2)


def test_the_final_evaluation_serves_the_servers_tensors_with_the_shops_own_rest(tmp_path: Path) -> None:
    shops = device(tmp_path)
    shops.train("shop_0", 1, None)

    def replies(incoming) -> set[str]:
        shutil.rmtree(tmp_path / "shops" / "shop_0" / "evaluation_final", ignore_errors=True)
        shops.evaluate("shop_0", 1, incoming, "final")
        rows = read_jsonl(tmp_path / "shops" / "shop_0" / "evaluation_final/samples.jsonl")
        return {row["reply"].split()[0] for row in rows if row["phase"] == "final"}

    assert replies(None) == {"bad"}  # two steps of B
    assert replies({A: np.ones((2, 3), np.float32)}) == {"bad"}
    assert replies({B: np.full((3, 2), 4, np.float32)}) == {"good"}


def test_moments_of_another_shape_start_afresh_and_the_steps_go_on() -> None:
    adapter = {A: np.zeros((4, 3), np.float32), B: np.zeros((3, 2), np.float32)}
    before = {
        "step": np.array(7, np.float32),
        f"m.{A}": np.ones((2, 3), np.float32),
        f"v.{A}": np.ones((2, 3), np.float32),
        f"m.{B}": np.ones((3, 2), np.float32),
        f"v.{B}": np.ones((3, 2), np.float32),
    }
    after = fitted(before, adapter)
    assert after is not None
    assert after.keys() == {*before, "since"}
    assert float(after["step"]) == 7
    assert [after[f"{slot}.{A}"].shape for slot in "mv"] == [(4, 3)] * 2
    assert not any(after[f"{slot}.{name}"].any() for slot in "mv" for name in (A, B)), "one count of age for all"
    assert float(after["since"]) == 7
    assert fitted(None, adapter) is None
    same_shapes = {A: np.zeros((2, 3), np.float32), B: adapter[B]}
    assert fitted(before, same_shapes) is before
    turned = fitted({**before, "since": np.array(3, np.float32)}, same_shapes, turned=True)
    assert (float(turned["step"]), float(turned["since"]), turned[f"v.{B}"].any()) == (7, 7, False)


class MomentModel(CountingModel):
    """Hands back moments of its job's shapes."""

    def fine_tune(self, jobs):
        moments = [{f"m.{name}": np.ones_like(tensor) for name, tensor in job.adapter.items()} for job in jobs]
        results = super().fine_tune(jobs)
        return [
            replace(result, optimizer={**result.optimizer, **own}) for result, own in zip(results, moments, strict=True)
        ]


def test_a_shop_that_is_sent_another_rank_trains_on_with_moments_that_fit(tmp_path: Path) -> None:
    given = replace(services(), end_model=MomentModel())
    shops = device(tmp_path, given)
    shops.train("shop_0", 1, None)
    shops.train("shop_0", 2, {A: np.ones((4, 3), np.float32), B: np.zeros((3, 4), np.float32)})
    job = given.end_model.jobs[1]
    assert job.optimizer[f"m.{A}"].shape == (4, 3)
    assert not job.optimizer[f"m.{A}"].any()
    assert float(job.optimizer["step"]) == float(job.settings.steps)


@pytest.mark.parametrize(
    ("turns", "incoming", "anew"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_moments_start_anew_where_turned_factors_are_received_and_nowhere_else(
    tmp_path: Path, turns: bool, incoming: bool, anew: bool
) -> None:
    given = replace(services(), end_model=MomentModel())
    shops = device(tmp_path, given)
    first = shops.train("shop_0", 1, None, Exchange(turns=turns))
    shops.train("shop_0", 2, first.adapter if incoming else None, Exchange(turns=turns))
    job = given.end_model.jobs[1]
    steps = float(job.settings.steps)
    assert float(job.optimizer["step"]) == steps
    assert float(job.optimizer.get("since", 0)) == (steps if anew else 0)
    assert job.optimizer[f"m.{A}"].any() != anew


def test_nothing_received_is_the_shops_own() -> None:
    own = {A: np.ones(1, np.float32)}
    assert received(own, None) == own


def test_the_servers_shared_ranks_stand_before_the_shops_own() -> None:
    own = {A: np.full((3, 4), 1.0, np.float32), B: np.full((4, 3), 2.0, np.float32), "m": np.zeros(2, np.float32)}
    sent = {A: np.full((1, 4), 7.0, np.float32), B: np.full((4, 1), 8.0, np.float32), "m": np.ones(2, np.float32)}
    now = received(own, {**sent, "new": np.ones(1, np.float32)}, shared_rank=1)
    np.testing.assert_array_equal(now[A], [[7.0] * 4, [1.0] * 4, [1.0] * 4])
    np.testing.assert_array_equal(now[B], [[8.0, 2.0, 2.0]] * 4)
    np.testing.assert_array_equal(now["m"], [1.0, 1.0])
    np.testing.assert_array_equal(now["new"], [1.0])
    assert received(own, None, shared_rank=1) == own
