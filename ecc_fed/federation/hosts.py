"""Cohort hosts: processes that keep the base and the judge resident and run their shops' ClientApps."""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flwr.app import Context, Error, Message, RecordDict

from ecc_fed.core.errors import EccError
from ecc_fed.core.protocols import Device
from ecc_fed.federation.client_app import app
from ecc_fed.federation.devices import serving
from ecc_fed.federation.flower_internals import CLIENT_APP_RAISED
from ecc_fed.federation.results import HostReport

# Builds the device of the shops named; must be picklable, as it runs inside the host.
DeviceFactory = Callable[[tuple[str, ...]], Device]


@dataclass(frozen=True, slots=True)
class Job:
    """A message for one shop, with what Flower tells that shop's node about itself."""

    shop_id: str
    message: Message
    node_config: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's reply, an error reply included, and how long it took on its host."""

    shop_id: str
    reply: Message
    seconds: float


class Hosts(Protocol):
    """All hosts of a run. They may serve several runs, one after another."""

    def open(self, shop_ids: Sequence[str], device_factory: DeviceFactory) -> None:
        """Builds a device on every host that has a shop.

        Raises:
            EccError: what the factory raised, or a host that died on it.
        """
        ...

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Runs every job and yields each as it finishes; never raises for a shop or a host."""
        ...

    def reports(self) -> tuple[HostReport, ...]:
        """What each host with a shop used so far."""
        ...


def error_reply(message: Message, code: int, error: BaseException) -> Message:
    """A reply that says what went wrong; an unexpected error keeps its traceback after the first line."""
    reason = f"{type(error).__name__}: {error}"
    if not isinstance(error, EccError):
        reason = "\n".join([reason.splitlines()[0], *traceback.format_exception(error)])
    return Message(Error(code, reason), reply_to=message)


class CohortHost:
    """One host: a device built once, and the shops' jobs one after another, in the order given.

    `base_loads` is the device's own count of how often its base was loaded in this process; a
    device that keeps none counts as one load, its making.
    """

    def __init__(self) -> None:
        self._device: Device | None = None
        self._contexts: dict[str, Context] = {}

    def open(self, device_factory: DeviceFactory, shop_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Builds the device for a new run and returns its shops."""
        self._device = None  # the former run's device must not stay beside the new one
        self._contexts.clear()
        self._device = device_factory(shop_ids)
        return tuple(self._device.shop_ids)

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """The round's jobs of this host."""
        assert self._device is not None, "open comes before run"
        for job in jobs:
            started = time.perf_counter()
            try:
                with serving(self._device):
                    reply = app(job.message, self._context(job))
            except Exception as error:
                reply = error_reply(job.message, CLIENT_APP_RAISED, error)
            yield Finished(job.shop_id, reply, time.perf_counter() - started)

    def _context(self, job: Job) -> Context:
        """The shop's Flower context, which lives as long as the run."""
        if job.shop_id not in self._contexts:
            metadata = job.message.metadata
            self._contexts[job.shop_id] = Context(
                metadata.run_id, metadata.dst_node_id, dict(job.node_config), RecordDict(), {}
            )
        return self._contexts[job.shop_id]

    def report(self) -> HostReport:
        """What this process used so far."""
        base_loads = int(getattr(self._device, "base_loads", 1))
        peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return HostReport(base_loads, peak_rss * (1 if sys.platform == "darwin" else 1024), _peak_gpu_bytes())

    def process_id(self) -> int:
        """The operating system's id of this process."""
        return os.getpid()


def _peak_gpu_bytes() -> int:
    torch = sys.modules.get("torch")  # a device without torch has nothing on a GPU
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_allocated())


class InProcessHosts:
    """One host in this very process: no Ray, for short runs and for debugging."""

    def __init__(self) -> None:
        self._host = CohortHost()

    def open(self, shop_ids: Sequence[str], device_factory: DeviceFactory) -> None:
        """As `Hosts.open`."""
        self._host.open(device_factory, tuple(shop_ids))

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """As `Hosts.run`."""
        return self._host.run(jobs)

    def reports(self) -> tuple[HostReport, ...]:
        """As `Hosts.reports`."""
        return (self._host.report(),)
