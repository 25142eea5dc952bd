"""Hosts as Ray actors, one per group of cores or per GPU, alive for as many runs as the caller likes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.core.ranges import require
from ecc_fed.federation.flower.internals import NODE_UNAVAILABLE
from ecc_fed.federation.wire import records
from ecc_fed.hosts.actor import ActorHost
from ecc_fed.hosts.batch_size import BatchSize, check_kept
from ecc_fed.hosts.jobs import DeviceFactory, Divisible, Finished, Job, error_reply
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import MEASURED, HostSettings
from ecc_fed.hosts.waiting import first_ready, require_ray


class HostDied(EccError):
    """A host's process ended while its shops were at work, and no other could take its place."""


class _Work:
    """A round's jobs of one host, and which of them have not been replied to."""

    def __init__(self, host: ActorHost, jobs: Sequence[Job]) -> None:
        self.host = host
        self._jobs = jobs
        self._left = {job.shop_id: job for job in jobs}
        self._server_round = records.phase_and_round(jobs[0].message)[1]

    def start(self) -> Any:
        """A generator of the replies that are left, or None where the host is gone."""
        return self.host.start(self._jobs, frozenset(self._left), self._server_round)

    @property
    def all_replied(self) -> bool:
        """Whether nothing is left; the host may still be tidying up."""
        return not self._left

    def done(self, finished: Finished) -> Finished:
        """Crosses off a shop."""
        del self._left[finished.shop_id]
        return finished

    def failed(self, reason: str | None) -> Iterator[Finished]:
        """An error reply for every shop that is left."""
        error = HostDied(reason)
        for job in self._left.values():
            yield Finished(job.shop_id, error_reply(job.message, NODE_UNAVAILABLE, error), 0.0)


class RayHosts:
    """`count` hosts on the Ray that this process is connected to. Satisfies `Hosts`.

    Shop i of a run lives on host i modulo `count`, for the whole run. With fewer shops than hosts
    the hosts left over load nothing.

    Args:
        count: hosts, 1 or more.
        num_cpus: cores that each host reserves, 1 or more.
        num_gpus: GPUs that each host reserves, 0 or more.

    Raises:
        ConfigError: Ray has fewer cores or GPUs than the hosts reserve together.
    """

    def __init__(self, count: int, num_cpus: int = 1, num_gpus: float = 0.0, imports: Sequence[str] = ()) -> None:
        import ray

        require(count >= 1, "runtime.hosts", count, "1 or more")
        has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        for name, wanted in (("CPU", count * num_cpus), ("GPU", count * num_gpus)):
            if wanted > has.get(name, 0.0):
                remedy = " or set runtime=cpu" if name == "GPU" else ""
                raise ConfigError(
                    f"{count} hosts need {wanted:g} {name}s and Ray has {has.get(name, 0.0):g}: "
                    f"lower runtime.hosts{remedy}."
                )
        machines = sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]
        hosts_here = math.ceil(count / max(machines, 1))
        self._hosts = [ActorHost(f"Host {index}", num_cpus, num_gpus, imports, hosts_here) for index in range(count)]
        self._host_of: dict[str, ActorHost] = {}

    def open(
        self,
        shop_ids: Sequence[str],
        device_factory: DeviceFactory,
        settings: HostSettings = MEASURED,
        kept: Sequence[BatchSize] = (),
    ) -> None:
        """As `Hosts.open`, one host after another, so that their loading peaks do not add up.

        Imports need no such care and run on all hosts at once.
        """
        check_kept(kept, len(self._hosts))
        hosts = self._hosts[: len(kept) or None]
        count = len(hosts)
        self._host_of = {shop_id: hosts[index % count] for index, shop_id in enumerate(shop_ids)}
        for host in hosts[: len(shop_ids)]:
            host.prepare()
        for index, host in enumerate(hosts):
            mine = tuple(shop_ids[index::count])
            if mine:
                own = device_factory.only(mine) if isinstance(device_factory, Divisible) else device_factory
                host.open(own, mine, settings, kept[index] if kept else None)

    def adapter_shapes(self) -> Shapes:
        """As `Hosts.adapter_shapes`: of the first shop's host."""
        return next(iter(self._host_of.values())).adapter_shapes()

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """As `Hosts.run`; the hosts work side by side, and one that dies has its unfinished jobs done again."""
        import ray

        at_work: dict[Any, _Work] = {}
        to_start = [_Work(host, mine) for host in self._active() if (mine := self._jobs_of(host, jobs))]
        while at_work or to_start:
            for work in to_start:
                stream = work.start()
                if stream is None:
                    yield from work.failed(work.host.gone)
                else:
                    at_work[stream] = work
            to_start = []
            for stream in first_ready(list(at_work)) if at_work else ():
                work = at_work[stream]
                try:
                    finished: Finished = ray.get(next(stream))
                except StopIteration:
                    del at_work[stream]
                    work.host.ask_report()
                except ray.exceptions.RayTaskError as error:  # the process lives on
                    del at_work[stream]
                    yield from work.failed(work.host.failed(error.cause))
                except ray.exceptions.RayError:
                    require_ray()
                    del at_work[stream]
                    work.host.died("its process ended")
                    if not work.all_replied:
                        to_start.append(work)
                else:
                    yield work.done(finished)
            for stream, work in list(at_work.items()):
                if work.host.stalled():
                    del at_work[stream]
                    if not work.all_replied:  # else the next round tells whether it hangs or is slow to tidy up
                        work.host.died(f"it {work.host.no_progress}")
                        to_start.append(work)

    def _jobs_of(self, host: ActorHost, jobs: Sequence[Job]) -> list[Job]:
        return [job for job in jobs if self._host_of[job.shop_id] is host]

    def _active(self) -> list[ActorHost]:
        return [host for host in self._hosts if host in self._host_of.values()]

    def reports(self) -> tuple[HostReport, ...]:
        """As `Hosts.reports`."""
        return tuple(host.report() for host in self._active())

    def process_ids(self) -> tuple[int, ...]:
        """The operating system's ids of the hosts with a shop."""
        return tuple(host.process_id() for host in self._active())

    def close(self) -> None:
        """Ends all hosts at once."""
        for host in self._hosts:
            host.close()
