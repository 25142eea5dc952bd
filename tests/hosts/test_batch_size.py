"""How many shops run side by side, from a measured trial step, and the budgets it must keep."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneSettings
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.hosts.batch_size import MOST_SHOPS, choose_batch_size
from ecc_fed.hosts.memory import (
    GIB,
    GpuMeter,
    HostMeter,
    OutOfMemory,
    free_host_bytes,
    is_out_of_memory,
    limit_gpu,
    peak_resident_bytes,
    resident_bytes,
)
from tests.evolution import fakes
from tests.federation.fakes import build_fake

FIXED, ROW = 300_000, 10_000


class Meter:
    """Counts `FIXED + ROW` bytes a job instead of measuring; out of memory beyond the budget if `hard`."""

    budget_reason = "of a test"

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


def test_a_host_is_measured_by_what_it_holds():
    held = []
    small = HostMeter(4.0, 1)
    before = resident_bytes()
    peak = small.peak_bytes(lambda: held.append(bytearray(b"x" * 80_000_000)))
    assert peak - before > 70_000_000
    assert small.budget_bytes == 4 * GIB
    share, half = HostMeter(None, 1), HostMeter(None, 2)
    assert resident_bytes() < half.budget_bytes < share.budget_bytes < resident_bytes() + free_host_bytes()
    assert peak_resident_bytes() >= resident_bytes() * 0.9


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemory("one shop alone: fewer at once would not help"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (None, False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def in_a_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts what a process has written to")
def test_the_hosts_cap_is_hard_and_can_be_lifted():
    output = in_a_process(
        """
        import numpy
        from ecc_fed.core.errors import ConfigError
        from ecc_fed.hosts.memory import GIB, is_out_of_memory, limit_host, resident_bytes
        limit_host(0.5)
        held = []
        try:
            for _ in range(40):
                held.append(numpy.ones(2**22))  # 32 MiB
        except MemoryError as error:
            print(is_out_of_memory(error), len(held) > 8, resident_bytes() < 0.52 * GIB)
        held.clear()
        numpy.ones(2**22)
        limit_host(None)
        print(len([numpy.ones(2**22) for _ in range(20)]))
        try:
            limit_host(0.01)
        except ConfigError as error:
            print(error)
        """
    )
    assert output.splitlines()[:2] == ["True True True", "20"]
    assert "runtime.host_memory_gib=0.01, but a host with its models takes" in output


@pytest.fixture
def gpu_of_80_gib(monkeypatch) -> list[float]:
    """What torch is told, without a GPU."""
    fractions: list[float] = []
    properties = type("Properties", (), {"total_memory": 80 * GIB})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda fraction, index: fractions.append(fraction)
    )
    return fractions


def test_the_gpus_cap_includes_the_drivers_own_part(gpu_of_80_gib):
    assert limit_gpu(24.0) == 23 * GIB
    assert limit_gpu(None) == 80 * GIB
    assert limit_gpu(200.0) == 80 * GIB
    assert gpu_of_80_gib == [23 / 80, 1.0, 1.0]
    assert GpuMeter(10 * GIB).budget_bytes == 9 * GIB


def test_a_host_without_the_gpu_it_was_promised_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"runtime.gpus_per_host asks for a GPU and torch .* sees none.*runtime=cpu"):
        limit_gpu(24.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_gpus_cap_is_hard():
    output = in_a_process(
        """
        import torch
        from ecc_fed.hosts.memory import GIB, GpuMeter, is_out_of_memory, limit_gpu
        limit = limit_gpu(3.0)
        held = []
        try:
            for _ in range(40):
                held.append(torch.ones(2**26, device="cuda"))  # 256 MiB
        except torch.OutOfMemoryError as error:
            free, total = torch.cuda.mem_get_info()
            print(is_out_of_memory(error), len(held) == 8, torch.cuda.memory_reserved() <= limit)
        held.clear()
        print(GpuMeter(limit).peak_bytes(lambda: torch.ones(2**26, device="cuda")) >= 2**28)
        """
    )
    assert output.split() == ["True", "True", "True", "True"]
