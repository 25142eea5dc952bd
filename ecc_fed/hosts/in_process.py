"""One host in this very process: no Ray, for short runs and for debugging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecc_fed.core.aggregation import Shapes
from ecc_fed.hosts.batch_size import BatchSize, check_kept
from ecc_fed.hosts.host import ShopHost
from ecc_fed.hosts.jobs import DeviceFactory, Finished, Job
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import MEASURED, HostSettings


class InProcessHosts:
    """A `ShopHost` with all shops. Satisfies `Hosts`."""

    def __init__(self) -> None:
        self._host = ShopHost()

    def open(
        self,
        shop_ids: Sequence[str],
        device_factory: DeviceFactory,
        settings: HostSettings = MEASURED,
        kept: Sequence[BatchSize] = (),
    ) -> None:
        """As `Hosts.open`."""
        check_kept(kept, hosts=1)
        self._host.open(device_factory, tuple(shop_ids), settings, kept=kept[0] if kept else None)

    def adapter_shapes(self) -> Shapes:
        """As `Hosts.adapter_shapes`."""
        return self._host.adapter_shapes()

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """As `Hosts.run`."""
        return self._host.run(jobs)

    def reports(self) -> tuple[HostReport, ...]:
        """As `Hosts.reports`."""
        return (self._host.report(),)
