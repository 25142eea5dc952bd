"""Caps that hold: a process that would pass one runs out of memory."""

import subprocess
import sys
import textwrap

import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.hosts.caps import limit_gpu
from ecc_fed.hosts.memory import GIB


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
        from ecc_fed.hosts.caps import limit_host
        from ecc_fed.hosts.memory import GIB, is_out_of_memory, resident_bytes
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
        from ecc_fed.hosts.caps import limit_gpu
        from ecc_fed.hosts.memory import GIB, is_out_of_memory
        from ecc_fed.hosts.meters import GpuMeter
        limit = limit_gpu(3.0)
        held = [torch.ones(2**28, device="cuda")]  # 1 GiB of 2
        try:
            for _ in range(40):
                held.append(torch.ones(2**26, device="cuda"))  # 256 MiB
        except torch.OutOfMemoryError as error:
            print(is_out_of_memory(error), torch.cuda.memory_reserved() <= limit)
        print(len(held) < 40, sum(each.nbytes for each in held) <= limit)
        held.clear()
        torch.cuda.empty_cache()
        print(GpuMeter(limit).peak_bytes(lambda: torch.ones(2**28, device="cuda")) >= GIB)
        """
    )
    assert output.split() == ["True"] * 5
