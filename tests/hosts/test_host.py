"""A host's shops side by side: the same as one after another, with one shop's trouble its own."""

import gc
import re
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecc_fed.core.records import (
    Decoding,
    FineTuneJob,
    FineTuneResult,
    FineTuneSettings,
    LikelihoodRequest,
    PseudoLabel,
    ReplyRequest,
    Turn,
)
from ecc_fed.core.rows import FailureRow
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.owner import Owner
from ecc_fed.evolution.settings import Services
from ecc_fed.evolution.shop_state import ShopState, load_state
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult, as_json
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.host import ShopHost
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.jobs import Job
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.runs.failures import failure_rows
from ecc_fed.runs.federation import run_federation
from tests.end_model.opening import shared_engine
from tests.end_model.tiny_models import save_base
from tests.evolution import fakes
from tests.federation.fakes import aggregated, build_fake, local, personalized

# Of different sizes, so that they do not stay in step; the third has nothing to serve.
SIZES = {"a": (4, 8), "b": (3, 5), "c": (2, 0), "d": (6, 9), "e": (0, 7)}
SHOPS = [fakes.shop(name, history, stream) for name, (history, stream) in SIZES.items()]
NAMES = list(SIZES)
TWO_ROUNDS = aggregated(2)


class WatchedModel(fakes.CountingModel):
    """Notes how many jobs come at once; runs out of memory above `room`; fails on examples that say "broken"."""

    def __init__(self, room: int = 100) -> None:
        super().__init__()
        self.room = room
        self.sizes: list[int] = []

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        self.sizes.append(len(jobs))
        if len(jobs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if any(example.reply == "broken" for job in jobs for example in job.examples):
            raise RuntimeError("a bad example\nsecond line")
        return super().fine_tune(jobs)


def device_of(folder: Path, given: Services, shop_ids: tuple[str, ...], **loop: Any) -> ShopDevices:
    shops = [shop for shop in SHOPS if shop.shop_id in shop_ids]
    settings = fakes.settings(**{"human_share": 1.0, **loop})
    return ShopDevices(shops, fakes.truth_of(shops), given, settings, RunDirectory(folder), fakes.write_adapter, seed=0)


def run(
    folder: Path,
    given: Services,
    shops_per_batch: int | None,
    plan: FederationPlan = TWO_ROUNDS,
    hosts: InProcessHosts | None = None,
) -> FederationResult:
    factory = partial(device_of, folder, given)
    return run_federation(
        plan, NAMES, factory, hosts or InProcessHosts(), settings=HostSettings(shops_per_batch=shops_per_batch)
    )


def comparable(result: FederationResult) -> dict:
    content = as_json(result)
    for record in content["rounds"]:
        record["seconds"] = 0.0
    return content


_RUNS_OWN = ("metrics.jsonl", "digests.json", "sent.jsonl")


def files_of(folder: Path) -> dict[str, bytes]:
    """All but clock time, which shops were side by side, and digests of answers, which hold a run's random name."""
    return {
        str(path.relative_to(folder)): b"" if path.name in _RUNS_OWN else alone(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def alone(path: Path) -> bytes:
    return re.sub(rb'"together": \[[^]]*\]', b"", path.read_bytes())


@pytest.mark.parametrize("plan", [local(2), aggregated(2), personalized(2, 1)])
def test_a_batch_of_one_equals_a_batch_of_all_bit_for_bit(tmp_path, plan):
    services = {size: fakes.services() for size in (1, 2, 5)}
    results = {size: comparable(run(tmp_path / str(size), given, size, plan)) for size, given in services.items()}
    assert results[1] == results[2] == results[5]
    assert results[1]["failures"] == []
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2") == files_of(tmp_path / "5")


def test_shops_of_a_batch_are_fine_tuned_in_one_batch(tmp_path):
    model, hosts = WatchedModel(), InProcessHosts()
    run(tmp_path, replace(fakes.services(), end_model=model), 3, local(1), hosts)
    assert model.sizes == [1, 2, 2]  # c has nothing to serve and is ahead of a and b; then d and e
    (report,) = hosts.reports()
    assert report.shops_per_batch == 3
    assert report.batch_reason == "runtime.shops_per_batch=3"
    assert set(report.service_seconds) == {"end_model", "judge", "teacher"}


def test_batches_that_a_dead_host_left_unfinished_are_done_again_by_all_their_shops(tmp_path):
    waves: list[list[str]] = []

    class Noting(ShopDevices):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            waves[-1].append(shop_id)
            return super().train(shop_id, server_round, incoming, exchange)

        def read_ahead(self, before_round):
            waves.append([])  # as a wave starts
            super().read_ahead(before_round)

    def build(shop_ids: tuple[str, ...]) -> ShopDevices:
        device = device_of(tmp_path, fakes.services(), shop_ids)
        device.__class__ = Noting
        return device

    jobs: list[Job] = []

    class Taking(InProcessHosts):
        def run(self, given):
            jobs.extend(given)
            return super().run(given)

    run_federation(local(1), NAMES, build, Taking(), settings=HostSettings(shops_per_batch=2))
    assert waves[3:6] == [["a", "b"], ["c", "d"], ["e"]]  # after the evaluation of the base
    del waves[:]
    host = ShopHost()
    host.open(build, tuple(NAMES), HostSettings(shops_per_batch=2))
    again = [job for job in jobs if job.message.metadata.message_type == "train"]
    replies = [finished.shop_id for finished in host.run(again, frozenset("abc"))]
    assert (replies, [sorted(wave) for wave in waves]) == (["d", "e"], [["c", "d"], ["e"]])
    assert host._device._ahead == {}


def test_the_end_models_way_stands_in_the_record_once(tmp_path):
    """Also where the reason was kept of a run that goes on."""

    class Captured(fakes.CountingModel):
        reply_way = "replies by captured steps"

    class Alone(fakes.CountingModel):
        fallback_reason, reply_way = "its kind", None

    for model, said in ((Captured(), "; replies by captured steps"), (Alone(), "; the end model serves them one")):
        host = ShopHost()
        factory = partial(device_of, tmp_path, replace(fakes.services(), end_model=model))
        host.open(factory, tuple(NAMES), HostSettings())
        first = host.report()
        assert first.batch_reason.count(said) == 1
        host.open(factory, tuple(NAMES), HostSettings(), kept=BatchSize(first.shops_per_batch, first.batch_reason))
        assert host.report().batch_reason.count(said) == 1


def warm_label(name: str) -> tuple[PseudoLabel, ...]:
    return (PseudoLabel(f"{name}/g", (Turn("customer", "q"),), "a warm reply", "cloud", "distilled", 0),)


@pytest.mark.parametrize("warm", [False, True])
def test_a_shop_that_was_saved_before_its_host_died_is_done_again_beside_the_one_that_was_not(tmp_path, warm):
    """Its state is the same as before, and what is sent to the server does not change."""
    jobs: list[Job] = []

    class Taking(InProcessHosts):
        def run(self, given):
            jobs.extend(given)
            return super().run(given)

    def build(folder: Path, shop_ids: tuple[str, ...]) -> ShopDevices:
        device = device_of(folder, replace(fakes.services(), end_model=fakes.MixingModel()), shop_ids)
        if warm:  # c has nothing to learn from, and so is ahead of the others
            generated = {name: warm_label(name) for name in NAMES}
            device._generated = {**generated, "c": ()}
        return device

    def again(folder: Path, name: str, finished: str) -> list[str]:
        host = ShopHost()
        host.open(partial(build, folder), tuple(NAMES), HostSettings(shops_per_batch=3))
        same = [job for job in jobs if job.message.metadata.message_type == name]
        return sorted(each.shop_id for each in host.run(same, frozenset(finished)))

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_federation(local(1), NAMES, partial(build, whole), Taking(), settings=HostSettings(shops_per_batch=3))
    expected = files_of(whole)
    shutil.copytree(whole, cut)
    for path in cut.glob("shops/*/evaluation_final"):
        shutil.rmtree(path)
    for path in cut.glob("shops/b/round_*"):
        shutil.rmtree(path)
    untouched = (cut / "shops" / "e" / "round_0001" / "state.json").stat().st_mtime_ns
    assert again(cut, "train", "ac") == ["b", "d", "e"]
    assert (cut / "shops" / "e" / "round_0001" / "state.json").stat().st_mtime_ns == untouched
    assert {name: text for name, text in expected.items() if "evaluation_final" not in name} == files_of(cut)


class WaitingModel(fakes.CountingModel):
    """Goes on with a fine-tune of the last round only once the states of the next wave are there."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.next_wave = {"ab": {"c", "d"}, "cd": {"e"}, "e": set[str]()}
        self.order, self.read, self.missed = order, set[str](), list[str]()
        self.changed = threading.Condition()

    def note(self, folder: Path, server_round: int, owner: Owner) -> ShopState:
        state = load_state(folder, server_round, owner)
        with self.changed:
            self.order.append(f"read {folder.name}")
            self.read.add(folder.name)
            self.changed.notify()
        return state

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        wave = "".join(dict.fromkeys(job.examples[0].reply for job in jobs))
        with self.changed:
            if jobs[0].optimizer is not None:
                there = self.changed.wait_for(lambda: self.next_wave[wave] <= self.read, timeout=20)
                self.missed += [] if there else [wave]
            self.order.append(f"train {wave}")
        return super().fine_tune(jobs)


def test_the_next_waves_states_are_read_while_a_wave_is_at_work(tmp_path, monkeypatch):
    order: list[str] = []
    model = WaitingModel(order)
    shops = [
        replace(shop, history=tuple(replace(pair, reply=shop.shop_id) for pair in shop.history or shop.stream))
        for shop in (fakes.shop(name, 4, 0) for name in NAMES)
    ]
    monkeypatch.setattr("tests.hosts.test_host.SHOPS", shops)
    monkeypatch.setattr("ecc_fed.evolution.shop_state.load_state", model.note)
    run(tmp_path, replace(fakes.services(), end_model=model), 2, local(2))
    assert model.missed == []
    assert order[:3] == ["train ab", "train cd", "train e"]  # the first round reads nothing
    second = order[3 : order.index("train e", 3) + 1]
    assert sorted(second[: second.index("train ab")]) == ["read a", "read b", "read c", "read d"]
    assert second[-3:] == ["read e", "train cd", "train e"]
    assert sorted(order[len(second) + 3 :]) == [f"read {name}" for name in NAMES]  # the evaluation's


@pytest.mark.parametrize("plan", [local(2), aggregated(2), personalized(2, 1)])
def test_no_state_read_ahead_is_left_over(tmp_path, plan):
    device = device_of(tmp_path, fakes.services(), tuple(NAMES))
    run_federation(plan, NAMES, lambda _: device, InProcessHosts(), settings=HostSettings(shops_per_batch=2))
    assert device._ahead == {}


def test_out_of_memory_halves_the_batch_is_recorded_and_loses_nothing(tmp_path):
    model, hosts = WatchedModel(room=2), InProcessHosts()
    result = run(tmp_path / "a", replace(fakes.services(), end_model=model), 5, hosts=hosts)
    expected = run(tmp_path / "b", fakes.services(), 5)
    assert comparable(result) == comparable(expected)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert hosts.reports()[0].shops_per_batch == 2
    assert failure_rows(result, hosts.reports(), []) == (
        FailureRow(
            "batch_halved",
            "host 0: 4 shops at once ran out of memory, from then on 2 "
            "(OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.)",
            server_round=1,
        ),
    )


class HungryDevice(ShopDevices):
    """Runs out of memory in its own code while more than one shop is at work."""

    at_work = 0

    def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
        HungryDevice.at_work += 1
        try:
            self.services.end_model.likelihood([LikelihoodRequest(None, ())])  # all meet here
            if HungryDevice.at_work > 2:
                raise MemoryError
            return super().train(shop_id, server_round, incoming, exchange)
        finally:
            self.services.end_model.likelihood([LikelihoodRequest(None, ())])
            HungryDevice.at_work -= 1


def test_a_shop_whose_own_code_runs_out_of_memory_gets_another_turn(tmp_path):
    def build(shop_ids: tuple[str, ...]) -> ShopDevices:
        device = device_of(tmp_path / "a", fakes.services(), shop_ids)
        device.__class__ = HungryDevice
        return device

    hosts = InProcessHosts()
    result = run_federation(local(1), NAMES, build, hosts, settings=HostSettings(shops_per_batch=4))
    assert result.failures == ()
    assert hosts.reports()[0].shops_per_batch < 4
    run(tmp_path / "b", fakes.services(), 1, local(1))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_shop_that_fails_in_a_batch_is_dropped_and_the_others_go_on(tmp_path, monkeypatch):
    spoilt = [
        replace(
            shop,
            history=tuple(
                replace(pair, reply="broken" if shop.shop_id == "d" else pair.reply) for pair in shop.history
            ),
        )
        for shop in SHOPS
    ]
    monkeypatch.setattr("tests.hosts.test_host.SHOPS", spoilt)
    result = run(tmp_path, replace(fakes.services(), end_model=WatchedModel()), 5, local(1))
    assert [(f.shop_id, f.phase, f.reason) for f in result.failures] == [("d", "train", "RuntimeError: a bad example")]
    assert sorted(result.rounds[0].shops) == ["a", "b", "c", "e"]
    assert sorted(result.final.shops) == NAMES


def test_imports_leave_the_garbage_collector_on_even_if_one_fails():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        ShopHost().prepare(("json", "no_such_module"))
    assert gc.isenabled()
    gc.unfreeze()


def test_a_device_without_services_runs_its_shops_one_after_another():

    hosts = InProcessHosts()
    run_federation(local(1), NAMES, build_fake, hosts, settings=HostSettings(shops_per_batch=4))
    assert hosts.reports()[0].shops_per_batch == 1
    assert "share no services" in hosts.reports()[0].batch_reason


def test_ledger_and_state_of_a_shop_hold_its_own_entries_alone(tmp_path):
    run(tmp_path, fakes.services(), 5)
    for name in NAMES:
        state = load_state(RunDirectory(tmp_path).shop(name), 2)
        assert {entry.shop_id for entry in state.egress} <= {name}
        assert {row.shop_id for row in state.metrics} == {name}


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_on_the_shared_engine_a_batch_of_one_equals_a_batch_of_all_within_rounding(tmp_path, one_thread):
    base = save_base(tmp_path / "base", "llama")
    engine = shared_engine(base, Lora(2, 8.0, 0.1))
    tuning = FineTuneSettings(steps=4, batch_size=2)
    loop = {"fine_tune": tuning, "decoding": Decoding(2, sample=False)}
    write = partial(save_adapter, settings=engine.settings, base_path=base)

    def adapters(shops_per_batch: int) -> dict[str, dict[str, np.ndarray]]:
        folder = tmp_path / str(shops_per_batch)

        def build(shop_ids: tuple[str, ...]) -> ShopDevices:
            device = device_of(folder, replace(fakes.services(), end_model=engine), shop_ids, **loop)
            device._write_adapter = write
            return device

        run_federation(local(2), NAMES, build, InProcessHosts(), settings=HostSettings(shops_per_batch=shops_per_batch))
        return {name: load_state(RunDirectory(folder).shop(name), 2).adapter for name in NAMES}

    alone, together = adapters(1), adapters(5)
    device = device_of(tmp_path, replace(fakes.services(), end_model=engine), ("a",), **loop)
    start = device.before(SHOPS[0].shop_id, 1, None).adapter
    for name in NAMES:
        update = np.concatenate([(alone[name][key] - start[key]).ravel() for key in start])
        error = np.concatenate([(alone[name][key] - together[name][key]).ravel() for key in start])
        assert np.linalg.norm(update) > 0.01
        assert np.linalg.norm(error) < 1e-3 * np.linalg.norm(update)
    # The same composition of batches gives the same bits.
    again = adapters(5)
    assert all(np.array_equal(together[name][key], again[name][key]) for name in NAMES for key in start)


def test_replies_asked_for_together_are_those_asked_for_alone(tmp_path, one_thread):
    engine = shared_engine(save_base(tmp_path / "base", "llama"), Lora(2, 8.0, 0.0))
    requests = [
        ReplyRequest(engine.new_adapter(seed), tuple(pair.prompt for pair in SHOPS[0].history), Decoding(6), seed)
        for seed in range(3)
    ]
    assert engine.reply(requests) == [engine.reply([request])[0] for request in requests]
