"""What a host used, and what it had to do again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BatchHalved:
    """A batch of `shops` shops that ran out of memory and was done again in parts of `limit`, as all after it."""

    server_round: int
    shops: int
    limit: int
    reason: str


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host used.

    `base_loads` counts loads of this run's base, restarts included; `shops_per_batch` is how many shops it
    runs side by side (after the last halving) and `batch_reason` why; `busy_seconds` is the time
    from getting a round's jobs to the last reply, and `service_seconds` the part of it spent in each
    service, the rest being the meetings, the shops' own code and their files.
    """

    base_loads: int
    peak_rss_bytes: int
    peak_gpu_bytes: int
    shops_per_batch: int = 1
    batch_reason: str = ""
    halvings: tuple[BatchHalved, ...] = ()
    busy_seconds: float = 0.0
    service_seconds: Mapping[str, float] = field(default_factory=dict)
