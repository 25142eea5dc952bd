"""What a host used, and what it had to do again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class BatchHalved:
    """A batch of `shops` shops that ran out of memory and was done again in parts of `limit`, as all after it."""

    server_round: int
    shops: int
    limit: int
    reason: str


@dataclass(frozen=True, slots=True)
class HostRestarted:
    """A host that died or hung, and whose `shops` unfinished shops were done again by a new one."""

    server_round: int
    shops: int
    reason: str


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host used, those that it took the place of included.

    `base_loads` counts loads of this run's base, restarts included; `shops_per_batch` is how many shops it
    runs side by side (after the last halving), `pass_tokens` the tokens of a pass of fine-tuning if they were
    measured, and `batch_reason` why; `busy_seconds` is the time
    from getting a round's jobs to the last reply, and `service_seconds` the part of it spent in each
    service, the rest being the meetings, the shops' own code and their files. What a host used of a round
    in which it died is not known.
    """

    base_loads: int
    peak_rss_bytes: int
    peak_gpu_bytes: int
    shops_per_batch: int = 1
    batch_reason: str = ""
    halvings: tuple[BatchHalved, ...] = ()
    busy_seconds: float = 0.0
    service_seconds: Mapping[str, float] = field(default_factory=dict)
    restarts: tuple[HostRestarted, ...] = ()
    pass_tokens: int | None = None

    def after(self, earlier: HostReport) -> HostReport:
        """Together with the process that this one took the place of."""
        services = {**earlier.service_seconds, **self.service_seconds}
        return replace(
            self,
            base_loads=earlier.base_loads + self.base_loads,
            peak_rss_bytes=max(earlier.peak_rss_bytes, self.peak_rss_bytes),
            peak_gpu_bytes=max(earlier.peak_gpu_bytes, self.peak_gpu_bytes),
            shops_per_batch=self.shops_per_batch if self.batch_reason else earlier.shops_per_batch,
            batch_reason=earlier.batch_reason or self.batch_reason,  # a restart measures nothing anew
            pass_tokens=self.pass_tokens if self.pass_tokens is not None else earlier.pass_tokens,
            halvings=(*earlier.halvings, *self.halvings),
            busy_seconds=earlier.busy_seconds + self.busy_seconds,
            service_seconds={
                name: earlier.service_seconds.get(name, 0.0) + self.service_seconds.get(name, 0.0) for name in services
            },
            restarts=(*earlier.restarts, *self.restarts),
        )


# Of a process of which nothing is known.
NOTHING_USED = HostReport(0, 0, 0)
