"""How much memory this process uses and may use, on a GPU or on the host."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ecc_fed.core.errors import ConfigError, EccError

GIB = 2**30
# The CUDA driver's context and its libraries' code, which torch's allocator does not count.
_CONTEXT_BYTES = GIB
# Of an allocator's limit, what broken-up free memory may make useless.
_USABLE_SHARE = 0.9
# Without a setting, the hosts of a machine together plan with this share of what is free.
_SHARE_OF_FREE = 0.5
_SAMPLE_SECONDS = 0.001
# A shop's thread computes little; what is heavy runs in the services.
_STACK_BYTES = 2 * 2**20
# What torch, bitsandbytes and Python say when memory runs out, beside classes of their own.
_PHRASES = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "can't start new thread")


class OutOfMemory(EccError):
    """One shop alone needs more memory than there is: fewer shops at once would not help it."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether `error` says that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _PHRASES)


def free_caches() -> None:
    """Gives back what a failed step left behind."""
    gc.collect()
    give_back_free_memory()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def give_back_free_memory() -> None:
    """Hands freed host memory back to the system, which the C library keeps in pieces after a batch of odd sizes."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)


def resident_bytes() -> int:
    """Host memory of this process now; where the system does not tell, its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """The most host memory this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def free_host_bytes() -> int:
    """Host memory that this process may still take: of the machine, or of its container if that has less."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        free = os.sysconf("SC_PHYS_PAGES") * resource.getpagesize() // 2
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such container, or "max"
            continue
    return max(free, 0)


def start_threads(threads: Iterable[threading.Thread]) -> None:
    """Starts threads with small stacks, which count against a cap of host memory whether used or not.

    Raises:
        RuntimeError: no room for one more.
    """
    usual = threading.stack_size(_STACK_BYTES)
    try:
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(usual)


class Meter(Protocol):
    """One kind of memory: what a call takes of it, and the limit."""

    budget_bytes: int
    budget_reason: str

    def peak_bytes(self, call: Callable[[], object]) -> int:
        """The most that this process uses while `call` runs."""
        ...


class HostMeter:
    """Resident memory. `budget_gib=None` plans with a share of what is free now, for one of `hosts_here`."""

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


def limit_host(memory_gib: float | None, threads: int = 0) -> None:
    """Caps this process's host memory: what would pass the cap fails as out of memory. None lifts the cap.

    Linux alone counts what a process has written to, so elsewhere the budget is a plan and no cap.

    Args:
        memory_gib: of resident memory, all that is in use already included.
        threads: threads to come, whose stacks are set aside and hardly used.

    Raises:
        ConfigError: more than `memory_gib` is in use already.
    """
    if not sys.platform.startswith("linux"):
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if memory_gib is None:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        return
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    in_use = resident_bytes()
    room = int(memory_gib * GIB) - in_use
    if room <= 0:
        raise ConfigError(
            f"runtime.host_memory_gib={memory_gib:g}, but a host with its models takes {in_use / GIB:.2f} GiB before "
            "any shop: raise it, or take a smaller base (end_model)."
        )
    limit = int(status["VmData"].split()[0]) * 1024 + room + threads * _STACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


class GpuMeter:
    """Memory of this process's GPU under `limit_gpu`."""

    def __init__(self, limit_bytes: int) -> None:
        self.budget_bytes = int(limit_bytes * _USABLE_SHARE)
        self.budget_reason = "runtime.gpu_memory_gib, less what the driver and broken-up memory take"

    def peak_bytes(self, call: Callable[[], object]) -> int:
        """By torch's own count."""
        import torch

        torch.cuda.reset_peak_memory_stats()
        call()
        return int(torch.cuda.max_memory_allocated())


def limit_gpu(memory_gib: float | None) -> int:
    """Caps what this process takes of its GPU, the driver's context included; returns torch's part in bytes.

    None is the whole GPU.

    Raises:
        ConfigError: torch sees no GPU in this process.
    """
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            f"runtime.gpus_per_host asks for a GPU and torch {torch.__version__} sees none: install a CUDA build of "
            "torch and a driver, or set runtime=cpu."
        )
    total = torch.cuda.get_device_properties(0).total_memory
    limit = total if memory_gib is None else min(total, int(memory_gib * GIB) - _CONTEXT_BYTES)
    torch.cuda.set_per_process_memory_fraction(limit / total, 0)
    return int(limit)


def peak_gpu_bytes() -> int:
    """The most GPU memory that torch has used since its last count began."""
    torch = sys.modules.get("torch")  # a device without torch has nothing on a GPU
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_allocated())
