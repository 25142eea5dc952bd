"""Which hosts a run asks for, and what each may use: the group `runtime` of a run."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.ranges import require


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The hosts of a run.

    Raises:
        ConfigError: a value out of range.
    """

    # Each with one base for all its shops; 0: as many as Ray has GPUs for, or cores if the hosts take no GPU. Where one
    # is enough, it is this process.
    hosts: int = 0
    # Cores that a host reserves.
    threads_per_host: int = 1
    # 0 keeps a host off any GPU; 1 gives it one of its own; less lets hosts share one.
    gpus_per_host: float = 0.0
    # Joins this Ray cluster; null starts Ray on this machine.
    ray_address: str | None = None
    # Shops side by side in a host; null measures a trial step. The others take turns.
    shops_per_batch: int | None = None
    # Hard cap for each host, driver included; null is the whole GPU.
    gpu_memory_gib: float | None = None
    # Hard cap for each host without a GPU (on Linux; elsewhere a plan); null plans with a share of what is free.
    host_memory_gib: float | None = None
    # How often a host on Ray that died is replaced in one run; its shops' unfinished work is then done again.
    host_restarts: int = 3
    # A host whose work has not moved for so long (no step of training, no token, no call to the cloud done) is taken
    # for dead; null waits for ever. In this process it ends the run, which can go on.
    stall_seconds: float | None = 1800.0

    def __post_init__(self) -> None:
        require(self.hosts >= 0, "runtime.hosts", self.hosts, "0 (automatic) or more")
        require(self.threads_per_host >= 1, "runtime.threads_per_host", self.threads_per_host, "1 or more")
        require(0 <= self.gpus_per_host <= 1, "runtime.gpus_per_host", self.gpus_per_host, "0 to 1")
        require(self.host_restarts >= 0, "runtime.host_restarts", self.host_restarts, "0 or more")
        limit = self.stall_seconds
        require(limit is None or limit > 0, "runtime.stall_seconds", limit, "above 0, or null")
        size = self.shops_per_batch
        require(size is None or size >= 1, "runtime.shops_per_batch", size, "1 or more, or null to measure")
        for name, least in (("gpu_memory_gib", 2), ("host_memory_gib", 1)):
            value = getattr(self, name)
            require(value is None or value >= least, f"runtime.{name}", value, f"{least} or more, or null")

    @property
    def use_gpu(self) -> bool:
        """Whether a host has a GPU of its own, or a share of one."""
        return self.gpus_per_host > 0

    @property
    def pool(self) -> tuple[int, int, float, str | None]:
        """What the hosts are made from; runs that agree on it can share them, whatever each allows them to use."""
        return self.hosts, self.threads_per_host, self.gpus_per_host, self.ray_address


# Automatic hosts on this machine, held to nothing.
MEASURED = HostSettings()
