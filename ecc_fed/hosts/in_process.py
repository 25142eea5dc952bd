"""One host in this very process: no Ray to start, for short runs and for debugging."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ecc_fed.core.aggregation import Shapes
from ecc_fed.hosts.batch_size import BatchSize, check_kept
from ecc_fed.hosts.host import ShopHost
from ecc_fed.hosts.jobs import DeviceFactory, Finished, Job
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import MEASURED, HostSettings
from ecc_fed.hosts.standstill import no_standstill


class InProcessHosts:
    """A `ShopHost` with all shops. Satisfies `Hosts`.

    Where it dies, this process dies, and the run goes on from its last finished round; there is no other host to take
    its place.
    """

    def __init__(self) -> None:
        self._host = ShopHost()
        self._stall_seconds: float | None = None

    def open(
        self,
        shop_ids: Sequence[str],
        device_factory: DeviceFactory,
        settings: HostSettings = MEASURED,
        kept: Sequence[BatchSize] = (),
    ) -> None:
        """As `Hosts.open`."""
        check_kept(kept, hosts=1)
        self._stall_seconds = settings.stall_seconds
        with no_standstill(self._stall_seconds):
            self._host.open(device_factory, tuple(shop_ids), settings, kept=kept[0] if kept else None)

    def adapter_shapes(self) -> Shapes:
        """As `Hosts.adapter_shapes`."""
        return self._host.adapter_shapes()

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """As `Hosts.run`.

        Raises:
            HostStalled: the work stands still.
        """
        with no_standstill(self._stall_seconds):
            yield from self._host.run(jobs)

    def reports(self) -> tuple[HostReport, ...]:
        """As `Hosts.reports`."""
        return (self._host.report(),)


@contextmanager
def in_process_hosts() -> Iterator[InProcessHosts]:
    """A host in this process, which is as it was after the block.

    A host sets a limit on all memory of its process, and how many threads torch has there.
    """
    import torch

    limits, threads = resource.getrlimit(resource.RLIMIT_DATA), torch.get_num_threads()
    try:
        yield InProcessHosts()
    finally:
        if resource.getrlimit(resource.RLIMIT_DATA) != limits:
            resource.setrlimit(resource.RLIMIT_DATA, limits)
        torch.set_num_threads(threads)
