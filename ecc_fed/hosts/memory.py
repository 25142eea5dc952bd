"""How much memory this process uses, on a GPU or on the host, and what running out of it looks like."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

from ecc_fed.core.errors import EccError

GIB = 2**30
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


def peak_gpu_bytes() -> int:
    """The most GPU memory that torch has used since its last count began."""
    torch = sys.modules.get("torch")  # a device without torch has nothing on a GPU
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_allocated())
