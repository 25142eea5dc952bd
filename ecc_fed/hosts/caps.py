"""Hard caps on what this process may take, of host memory or of its GPU."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from ecc_fed.core.errors import ConfigError
from ecc_fed.hosts.memory import GIB, resident_bytes
from ecc_fed.hosts.threads import STACK_BYTES

# The CUDA driver's context and its libraries' code, which torch's allocator does not count.
_CONTEXT_BYTES = GIB


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
    limit = int(status["VmData"].split()[0]) * 1024 + room + threads * STACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


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
