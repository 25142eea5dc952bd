"""One host as a Ray actor, and the new one that takes its place when it dies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.errors import EccError
from ecc_fed.federation.results import FederationError
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.host import ShopHost
from ecc_fed.hosts.jobs import DeviceFactory, Job
from ecc_fed.hosts.ray_private import started_here
from ecc_fed.hosts.reports import NOTHING_USED, HostReport, HostRestarted
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.waiting import first_ready, require_ray, result_of
from ecc_fed.hosts.watch import Watch

_PLACEMENT_SECONDS = 120
# On a Ray of our own nobody else holds cores: what takes so long is a machine that is busy otherwise.
START_SECONDS = 600


# Beside its work, an actor says how far it is.
_WATCHING = "watching"


class ActorHost:
    """One actor at a time, for as many runs as the caller likes.

    Within a run a new actor takes the place of one that died, `runtime.host_restarts` times; every run
    starts with an actor again.
    """

    def __init__(
        self, name: str, num_cpus: int, num_gpus: float, imports: Sequence[str] = (), hosts_here: int = 1
    ) -> None:
        self._name = name
        self._resources = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_restarts": 0}
        self._imports, self._hosts_here = tuple(imports), hosts_here
        self._open_arguments: tuple[DeviceFactory, tuple[str, ...], HostSettings] | None = None
        self._kept: BatchSize | None = None
        self.gone: str | None = None  # why no actor can be had any more in this run
        self._actor: Any = None
        self._placed: Any = None
        self._opened: Any = None
        self._watch: Watch | None = None
        self._asked: Any = None  # a report that is on its way
        self._last_report = NOTHING_USED  # of the actor
        self._lost = NOTHING_USED  # of those before it in this run
        self._death: str | None = None  # of the last actor, not replaced yet

    def prepare(self) -> None:
        """Starts an actor if there is none alive, and its imports; waits for neither."""
        import ray

        if self._actor is None:
            remote: Any = ray.remote  # its types know nothing of concurrency groups
            self._actor = remote(**self._resources, concurrency_groups={_WATCHING: 1})(ShopHost).remote()
            self._placed = self._actor.process_id.remote()
            self._actor.prepare.remote(self._imports)

    def open(
        self,
        device_factory: DeviceFactory,
        shop_ids: tuple[str, ...],
        settings: HostSettings,
        kept: BatchSize | None = None,
    ) -> None:
        """Builds the device of a new run, on a fresh actor if there is none alive.

        Raises:
            EccError: what the factory raised, or that the actor found no room or died on it.
        """
        import ray

        self._open_arguments, self._kept = (device_factory, shop_ids, settings), kept
        self.gone, self._death, self._lost = None, None, NOTHING_USED
        self.prepare()
        self._wait_for_room()
        self._send_open(settings)
        try:
            while not first_ready([self._opened]):
                if self.stalled():
                    self.close()
                    raise FederationError(f"{self._name} {self.no_progress} while loading its models.")
            ray.get(self._opened)
            self._last_report = result_of(self._asked)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EccError):
                raise error.cause from None
            raise
        except ray.exceptions.RayActorError as error:
            self.close()
            require_ray()
            raise FederationError(
                f"{self._name} died while loading its models for {len(shop_ids)} shops. Most often memory runs "
                "out: use fewer hosts (runtime.hosts) or a smaller or quantized base (end_model)."
            ) from error

    def _send_open(self, settings: HostSettings) -> None:
        """What the actor is sent next waits there until it is open."""
        assert self._open_arguments is not None, "open comes first"
        device_factory, shop_ids, _ = self._open_arguments
        self._last_report, self._watch = NOTHING_USED, self._new_watch()
        self._opened = self._actor.open.remote(device_factory, shop_ids, settings, self._hosts_here, self._kept)
        self.ask_report()

    def _new_watch(self) -> Watch:
        assert self._open_arguments is not None, "open comes first"
        return Watch(self._open_arguments[2].stall_seconds, self._ask_progress)

    def _ask_progress(self) -> Any:
        return self._actor.progress.options(concurrency_group=_WATCHING).remote()

    def stalled(self) -> bool:
        """Whether the actor's work has stood still for longer than it may. To be asked again and again."""
        return self._watch is not None and self._watch.stalled()

    @property
    def no_progress(self) -> str:
        """What is said of an actor that stalled."""
        assert self._watch is not None, "it was watched"
        return f"made no progress for {self._watch.limit_seconds:g} seconds (runtime.stall_seconds)"

    def _wait_for_room(self) -> None:
        """Other work on the same Ray may hold the cores or GPUs that this host needs."""
        seconds = START_SECONDS if started_here() else _PLACEMENT_SECONDS
        deadline = time.monotonic() + seconds
        while not first_ready([self._placed]):
            if time.monotonic() < deadline:
                continue
            self.close()
            raise FederationError(
                f"{self._name} found no room on Ray in {seconds} seconds. It needs "
                f"{self._resources['num_cpus']} CPUs and {self._resources['num_gpus']:g} GPUs: end other work there, "
                "which holds them or keeps the machine too busy to start a process, or lower runtime.hosts."
            )

    def start(self, jobs: Sequence[Job], unfinished: frozenset[str], server_round: int) -> Any:
        """A generator of the replies of the `unfinished` shops, or None where no actor can be had.

        An actor that died is replaced by one that loads its models first, while the other hosts go on.
        """
        if self._death is not None:
            self._replace(HostRestarted(server_round, len(unfinished), self._death))
        if self.gone is not None:
            return None
        finished = frozenset(job.shop_id for job in jobs) - unfinished
        self._watch = self._new_watch()
        return self._actor.run.options(num_returns="streaming").remote(list(jobs), finished)

    def _replace(self, restart: HostRestarted) -> None:
        assert self._open_arguments is not None, "open comes before start"
        settings, before = self._open_arguments[2], self._lost.restarts
        self._death = None
        if len(before) == settings.host_restarts:
            self.gone = (
                f"{self._name}: {restart.reason}. It takes no more part, as it has been restarted "
                f"{len(before)} times (runtime.host_restarts)"
            )
            return
        size = self._lost.shops_per_batch
        if before and before[-1].server_round == restart.server_round and size > 1:
            # The same work killed it twice: memory, most likely.
            size //= 2
            restart = replace(restart, reason=f"{restart.reason} again, so from then on {size} shops are side by side")
        self._lost = replace(self._lost, restarts=(*before, restart))
        if self._kept is None and self._lost.pass_tokens is not None:
            self._kept = BatchSize(size, self._lost.batch_reason, self._lost.pass_tokens)
        try:
            self.prepare()
            self._wait_for_room()
        except FederationError as error:
            self.gone = f"{self._name} could not be started again: {error}"
            return
        # Not measured anew, as the shops of a batch decide its last bits.
        self._send_open(replace(settings, shops_per_batch=size))

    def died(self, reason: str) -> None:
        """Forgets the actor, ending its process if it still lives; the next `start` makes another."""
        self._known_report()
        self.close()
        self._death = reason
        self._lost, self._last_report = self._last_report.after(self._lost), NOTHING_USED

    def failed(self, error: Exception) -> str:
        """Why the work of an actor whose process lives on ended before all shops had replied."""
        import ray

        try:
            ray.get(self._opened)
        except ray.exceptions.RayError as not_opened:
            self.gone = f"{self._name} could not be started again: {getattr(not_opened, 'cause', not_opened)}"
            return self.gone
        return f"the host failed before this shop was done: {error}"

    def ask_report(self) -> None:
        """Has the actor report once it is done with what it was sent; waits for nothing."""
        self._asked = self._actor.report.remote()

    def _known_report(self) -> None:
        """The report last asked for, if it has come."""
        import ray

        try:
            self._last_report = ray.get(self._asked, timeout=0)
        except ray.exceptions.RayError:  # not there, or never to come
            return

    def report(self) -> HostReport:
        """What the actor and those before it in this run used, as far as it is known."""
        import ray

        if self._actor is not None:
            try:
                self._last_report = result_of(self._actor.report.remote())
            except ray.exceptions.RayActorError:
                require_ray()
                self.died("its process ended between two rounds")
        return self._last_report.after(self._lost)

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter of the open run.

        Raises:
            FederationError: the actor died.
        """
        import ray

        try:
            shapes: Shapes = ray.get(self._actor.adapter_shapes.remote())
        except ray.exceptions.RayActorError as error:
            raise FederationError(f"{self._name} died before the first round.") from error
        return shapes

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
