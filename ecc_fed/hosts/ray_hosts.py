"""Hosts as Ray actors, one per group of cores or per GPU, alive for as many runs as the caller likes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.core.ranges import require
from ecc_fed.federation.flower.internals import NODE_UNAVAILABLE
from ecc_fed.federation.results import FederationError
from ecc_fed.hosts.host import ShopHost
from ecc_fed.hosts.jobs import DeviceFactory, Finished, Job, error_reply
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import MEASURED, HostSettings

_PLACEMENT_SECONDS = 120


class HostDied(EccError):
    """A host's process ended while its shops were at work."""


class _ActorHost:
    """One actor. A new actor takes the place of one that died, once."""

    def __init__(
        self, name: str, num_cpus: int, num_gpus: float, imports: Sequence[str] = (), hosts_here: int = 1
    ) -> None:
        self._name = name
        self._resources = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_restarts": 0}
        self._imports, self._hosts_here = tuple(imports), hosts_here
        self._open_arguments: tuple[DeviceFactory, tuple[str, ...], HostSettings] | None = None
        self._lost_loads = 0  # of an actor that died in this run
        self._last_report = HostReport(0, 0, 0)
        self._restarts_left = 1
        self.gone: str | None = None  # why no actor can be had any more
        self._actor: Any = None
        self._placed: Any = None

    def new_run(self) -> None:
        """Forgets what went wrong in the run before."""
        self._lost_loads, self._restarts_left, self.gone = 0, 1, None

    def prepare(self) -> None:
        """Starts an actor if there is none alive, and its imports; waits for neither."""
        import ray

        if self._actor is None:
            self._actor = ray.remote(ShopHost).options(**self._resources).remote()
            self._placed = self._actor.process_id.remote()
            self._actor.prepare.remote(self._imports)

    def open(self, device_factory: DeviceFactory, shop_ids: tuple[str, ...], settings: HostSettings) -> None:
        """Builds the device, on a fresh actor if there is none alive."""
        import ray

        self._open_arguments = (device_factory, shop_ids, settings)
        self.prepare()
        self._wait_for_room()
        try:
            ray.get(self._actor.open.remote(device_factory, shop_ids, settings, self._hosts_here))
            self._last_report = ray.get(self._actor.report.remote())
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EccError):
                raise error.cause from None
            raise
        except ray.exceptions.RayActorError as error:
            self.died()
            raise FederationError(
                f"{self._name} died while loading its models for {len(shop_ids)} shops. Most often memory runs "
                "out: use fewer hosts (runtime.hosts) or a smaller or quantized base (end_model)."
            ) from error

    def _wait_for_room(self) -> None:
        """Other work on the same Ray may hold the cores or GPUs that this host needs."""
        import ray

        if not ray.wait([self._placed], timeout=_PLACEMENT_SECONDS)[0]:
            self.close()
            raise FederationError(
                f"{self._name} found no room on Ray in {_PLACEMENT_SECONDS} seconds. It needs "
                f"{self._resources['num_cpus']} CPUs and {self._resources['num_gpus']:g} GPUs: end other work there, "
                "or lower runtime.hosts."
            )

    def start(self, jobs: Sequence[Job]) -> Any:
        """A generator of the jobs' replies, or None where no actor can be had."""
        if self._actor is None and self.gone is None:
            self._restart()
        if self.gone is not None:
            return None
        return self._actor.run.options(num_returns="streaming").remote(list(jobs))

    def _restart(self) -> None:
        assert self._open_arguments is not None, "open comes before start"
        if self._restarts_left == 0:
            self.gone = f"{self._name} died again after its restart and takes no more part"
            return
        self._restarts_left -= 1
        try:
            self.open(*self._open_arguments)
        except Exception as error:  # whatever the factory raises, the other hosts go on
            self.gone = f"{self._name} could not be started again: {error}"

    def died(self) -> None:
        """Forgets the actor; the next `start` makes another."""
        self._actor = None
        self._lost_loads += self._last_report.base_loads
        self._last_report = replace(self._last_report, base_loads=0)

    def report(self) -> HostReport:
        """The actor's report, or the last one known, with the loads of an actor that died."""
        import ray

        if self._actor is not None:
            try:
                self._last_report = ray.get(self._actor.report.remote())
            except ray.exceptions.RayActorError:
                self.died()
        return replace(self._last_report, base_loads=self._last_report.base_loads + self._lost_loads)

    def process_id(self) -> int:
        """The operating system's id of the actor's process."""
        import ray

        return int(ray.get(self._actor.process_id.remote()))

    def close(self) -> None:
        """Ends the actor at once."""
        import ray

        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None


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
        self._hosts = [_ActorHost(f"Host {index}", num_cpus, num_gpus, imports, hosts_here) for index in range(count)]
        self._host_of: dict[str, _ActorHost] = {}

    def open(self, shop_ids: Sequence[str], device_factory: DeviceFactory, settings: HostSettings = MEASURED) -> None:
        """As `Hosts.open`, one host after another, so that their loading peaks do not add up.

        Imports need no such care and run on all hosts at once.
        """
        count = len(self._hosts)
        self._host_of = {shop_id: self._hosts[index % count] for index, shop_id in enumerate(shop_ids)}
        for host in self._hosts[: len(shop_ids)]:
            host.prepare()
        for index, host in enumerate(self._hosts):
            mine = tuple(shop_ids[index::count])
            if mine:
                host.new_run()
                host.open(device_factory, mine, settings)

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """As `Hosts.run`; the hosts work side by side."""
        import ray

        waiting: dict[Any, tuple[_ActorHost, dict[str, Job]]] = {}
        for host in self._active():
            mine = {job.shop_id: job for job in jobs if self._host_of[job.shop_id] is host}
            if not mine:
                continue
            stream = host.start(list(mine.values()))
            if stream is None:
                yield from _failed(mine, HostDied(host.gone))
            else:
                waiting[stream] = (host, mine)
        while waiting:
            ready: list[Any] = ray.wait(list(waiting), num_returns=1)[0]
            for stream in ready:
                host, mine = waiting[stream]
                try:
                    finished: Finished = ray.get(next(stream))
                except StopIteration:
                    del waiting[stream]
                except ray.exceptions.RayError as error:
                    del waiting[stream]
                    if isinstance(error, ray.exceptions.RayTaskError):  # the process lives on
                        reason = f"the host failed before this shop was done: {error.cause}"
                    else:
                        reason = "the host's process ended before this shop was done"
                        host.died()
                    yield from _failed(mine, HostDied(reason))
                else:
                    del mine[finished.shop_id]
                    yield finished

    def _active(self) -> list[_ActorHost]:
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


def _failed(jobs: dict[str, Job], error: HostDied) -> Iterator[Finished]:
    for job in jobs.values():
        yield Finished(job.shop_id, error_reply(job.message, NODE_UNAVAILABLE, error), 0.0)
