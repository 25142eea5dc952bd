"""How many shops run side by side, from a measured trial step."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneSettings
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.hosts.batch_size import MOST_SHOPS, choose_batch_size
from tests.evolution import fakes
from tests.federation.fakes import build_fake

FIXED, ROW = 300_000, 10_000


class Meter:
    """Counts `FIXED + ROW` bytes a job instead of measuring; out of memory beyond the budget if `hard`."""

    budget_reason = "of a test"
    exact = False

    def __init__(self, model: "Watched", budget_bytes: int, hard: bool = False) -> None:
        self.model, self.budget_bytes, self.hard = model, budget_bytes, hard

    def peak_bytes(self, call: Callable[[], object]) -> int:
        call()
        peak = FIXED + ROW * self.model.trials[-1]
        if self.hard and peak > self.budget_bytes:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return peak


class Watched(fakes.CountingModel):
    def __init__(self) -> None:
        super().__init__()
        self.trials: list[int] = []

    def fine_tune(self, jobs):
        self.trials.append(len(jobs))
        return super().fine_tune(jobs)


def device(num_shops: int, steps: int = 3) -> ShopDevices:
    shops = [fakes.shop(f"shop_{i}", num_history=2 + i, num_stream=2) for i in range(num_shops)]
    loop = fakes.settings(fine_tune=FineTuneSettings(steps=steps, batch_size=3))
    given = replace(fakes.services(), end_model=Watched())
    return ShopDevices(shops, {}, given, loop, RunDirectory(Path("none")), fakes.write_adapter, seed=0)


def meter(devices: ShopDevices, shops_that_fit: float, hard: bool = False) -> Meter:
    return Meter(devices.services.end_model, FIXED + int(ROW * shops_that_fit), hard)


def test_all_shops_where_they_fit():
    devices = device(6)
    chosen = choose_batch_size(devices, None, meter(devices, 6))
    assert chosen.size == 6
    assert chosen.reason.startswith("all shops of the host fit: a trial step took 0.00 GiB with one shop and 0.0 MiB")
    assert devices.services.end_model.trials == [1, 4]


@pytest.mark.parametrize(("fits", "size"), [(5.9, 4), (4, 4), (3, 2), (2.5, 2), (1.9, 1)])
def test_else_the_power_of_two_that_fits(fits, size):
    devices = device(6)
    assert choose_batch_size(devices, None, meter(devices, fits)).size == size


def test_never_more_than_gain_by_it(monkeypatch):
    monkeypatch.setattr("ecc_fed.hosts.batch_size.MOST_SHOPS", 4)
    devices = device(6)
    chosen = choose_batch_size(devices, None, meter(devices, 6))
    assert chosen.size == 4
    assert "4 shops, more of which would only wait fit" in chosen.reason
    assert MOST_SHOPS >= 16


def test_a_trial_that_runs_out_of_memory_leaves_one_shop_or_says_what_to_do():
    devices = device(6)
    chosen = choose_batch_size(devices, None, meter(devices, 2, hard=True))
    assert (chosen.size, chosen.reason) == (
        1,
        "a trial step of 4 shops ran out of memory: CUDA out of memory. Tried to allocate",
    )
    with pytest.raises(ConfigError, match=r"A trial step of one shop runs out of memory .*finetune.batch_size"):
        choose_batch_size(devices, None, meter(devices, 0.5, hard=True))


def test_a_budget_below_one_shop_is_refused():
    devices = device(6)
    with pytest.raises(
        ConfigError, match=r"Not even one shop fits: a trial step took .*\(of a test\).*host_memory_gib"
    ):
        choose_batch_size(devices, None, meter(devices, 0.5))


def test_a_row_is_never_measured_as_nothing():
    class Blind(Meter):
        def peak_bytes(self, call):
            call()
            return FIXED

    devices = device(6)
    adapter_bytes = sum(tensor.nbytes for tensor in devices.services.end_model.new_adapter(0).values())
    blind = Blind(devices.services.end_model, FIXED + 2 * 8 * adapter_bytes)
    assert choose_batch_size(devices, None, blind).size == 2


def test_no_trial_where_there_is_nothing_to_choose():
    devices, nothing = device(6), device(6, steps=0)
    assert choose_batch_size(devices, 3, meter(devices, 1)).size == 3
    assert choose_batch_size(devices, 30, meter(devices, 1)).size == 6
    assert choose_batch_size(device(1), None, meter(devices, 1)).size == 1
    assert choose_batch_size(nothing, None, meter(nothing, 1)).size == 6
    assert devices.services.end_model.trials == nothing.services.end_model.trials == []
    assert choose_batch_size(build_fake(("a", "b")), None, meter(devices, 9)).size == 1


def test_a_device_that_is_batched_in_part_is_refused_and_not_slow():
    whole = device(2)
    part = SimpleNamespace(shop_ids=whole.shop_ids, services=whole.services, trial_job=whole.trial_job)
    for size in (None, 2):
        with pytest.raises(ConfigError, match="lacks another part of a BatchedDevice, so they would run one after"):
            choose_batch_size(part, size, meter(whole, 9))


def test_the_trial_takes_the_longest_pairs_of_all_shops():
    shops = [fakes.shop("a", 3, 3), fakes.shop("b", 3, 3)]
    longest = [replace(shops[0].stream[1], query="q" * 50), replace(shops[1].history[0], reply="r" * 40)]
    shops[0] = replace(shops[0], stream=(longest[0], *shops[0].stream))
    shops[1] = replace(shops[1], history=(longest[1],))
    loop = fakes.settings(fine_tune=FineTuneSettings(steps=9, batch_size=2))
    devices = ShopDevices(shops, {}, fakes.services(), loop, RunDirectory(Path("none")), fakes.write_adapter, seed=0)
    job = devices.trial_job()
    assert [example.prompt for example in job.examples] == [pair.prompt for pair in longest]
    assert (job.settings.steps, job.optimizer) == (1, None)
