"""What a call takes of one kind of memory, and the budget that it must keep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ecc_fed.hosts.memory import GIB, free_host_bytes, resident_bytes

# Of an allocator's limit, what broken-up free memory may make useless.
_USABLE_SHARE = 0.9
# Without a setting, the hosts of a machine together plan with this share of what is free.
_SHARE_OF_FREE = 0.5
_SAMPLE_SECONDS = 0.001


class Meter(Protocol):
    """One kind of memory: what a call takes of it, and the limit."""

    budget_bytes: int
    budget_reason: str
    # Whether it counts what is allocated, so that the difference of two calls is what the one took more.
    exact: bool

    def peak_bytes(self, call: Callable[[], object]) -> int:
        """The most that this process uses while `call` runs."""
        ...


class HostMeter:
    """Resident memory. `budget_gib=None` plans with a share of what is free now, for one of `hosts_here`."""

    exact = False

    def __init__(self, budget_gib: float | None, hosts_here: int) -> None:
        if budget_gib is not None:
            self.budget_bytes = int(budget_gib * GIB)
            self.budget_reason = f"runtime.host_memory_gib={budget_gib:g}"
        else:
            self.budget_bytes = resident_bytes() + int(_SHARE_OF_FREE * free_host_bytes() / hosts_here)
            self.budget_reason = "a share of this machine's free memory"

    def peak_bytes(self, call: Callable[[], object]) -> int:
        """By sampling, as the system's own high-water mark never falls."""
        with _sampled_peak() as peak:
            call()
        return peak[0]


@contextmanager
def _sampled_peak() -> Iterator[list[int]]:
    peak, done = [resident_bytes()], threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            peak[0] = max(peak[0], resident_bytes())

    sampler = threading.Thread(target=sample, name="memory-sampler", daemon=True)
    sampler.start()
    try:
        yield peak
    finally:
        done.set()
        sampler.join()
        peak[0] = max(peak[0], resident_bytes())


class GpuMeter:
    """Memory of this process's GPU under `limit_gpu`."""

    exact = True

    def __init__(self, limit_bytes: int) -> None:
        self.budget_bytes = int(limit_bytes * _USABLE_SHARE)
        self.budget_reason = "runtime.gpu_memory_gib, less what the driver and broken-up memory take"

    def peak_bytes(self, call: Callable[[], object]) -> int:
        """By torch's own count."""
        import torch

        torch.cuda.reset_peak_memory_stats()
        call()
        return int(torch.cuda.max_memory_allocated())
