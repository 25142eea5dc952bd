"""What one host may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host may use.

    Attributes:
        shops_per_batch: shops side by side, 1 or more; None measures.
        use_gpu: the host has a GPU of its own, or a share of one.
        gpu_memory_gib: hard cap on that GPU's memory; None is all of it.
        host_memory_gib: budget of host memory for hosts without a GPU; None is a share of what is free.
        hosts_here: hosts that share this machine's memory.
        imports: modules that all hosts import at once, before they load one after another.
    """

    shops_per_batch: int | None = None
    use_gpu: bool = False
    gpu_memory_gib: float | None = None
    host_memory_gib: float | None = None
    hosts_here: int = 1
    imports: tuple[str, ...] = ()


MEASURED = HostSettings()
