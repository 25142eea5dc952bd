"""Where a run's hosts are: in this process, if one serves the run and nothing asks for more, or else on Ray.

Ray costs seconds to start, and gives what a process of its own has: a hard cap of memory that is the host's alone, a
GPU, and another host where one dies. The results are the same.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.cpus import usable_cpus
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.importing import import_at_once
from ecc_fed.hosts.in_process import in_process_hosts
from ecc_fed.hosts.jobs import DeviceFactory, Finished, Hosts, Job
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import MEASURED, HostSettings
from ecc_fed.hosts.start import prepare_process, ray_hosts


@contextmanager
def run_hosts(settings: HostSettings = MEASURED, imports: Sequence[str] = (), at_least: int = 1) -> Iterator[Hosts]:
    """Hosts for as many runs as the block makes. Arguments and errors are those of `ray_hosts`.

    Ray is started at once where the settings ask for what it alone gives, else by the first run that needs it.
    """
    prepare_process()
    if _ask_for_ray(settings):
        with ray_hosts(settings, imports, at_least) as hosts:
            yield hosts
        return
    count = settings.hosts or max(at_least, usable_cpus() // settings.threads_per_host)
    with ExitStack() as opened:
        yield HostsAsNeeded(
            count,
            imports,
            lambda: opened.enter_context(in_process_hosts()),
            lambda: opened.enter_context(ray_hosts(settings, imports, at_least)),
        )


def _ask_for_ray(settings: HostSettings) -> bool:
    """Whatever the run: several hosts, a GPU, a cluster or a Ray that is connected already.

    A host in this process is watched by signals, which the main thread alone gets.
    """
    ray = sys.modules.get("ray")
    return (
        settings.hosts > 1
        or settings.use_gpu
        or settings.ray_address is not None
        or (ray is not None and ray.is_initialized())
        or threading.current_thread() is not threading.main_thread()
    )


class HostsAsNeeded:
    """In this process for runs that one host serves, until a run needs Ray; from then on on Ray. Satisfies `Hosts`.

    Args:
        count: hosts of a run with that many shops or more.
        imports: as for `ray_hosts`.
        start_here: gives the host in this process; called once at most.
        start_ray: gives hosts on Ray; called once at most.
    """

    def __init__(
        self, count: int, imports: Sequence[str], start_here: Callable[[], Hosts], start_ray: Callable[[], Hosts]
    ) -> None:
        self._count, self._imports = count, tuple(imports)
        self._start_here, self._start_ray = start_here, start_ray
        self._here: Hosts | None = None
        self._on_ray: Hosts | None = None

    def open(
        self,
        shop_ids: Sequence[str],
        device_factory: DeviceFactory,
        settings: HostSettings = MEASURED,
        kept: Sequence[BatchSize] = (),
    ) -> None:
        """As `Hosts.open`. Raises what `ray_hosts` does, too."""
        if self._on_ray is None and self._serves_here(len(shop_ids), settings, len(kept)):
            self._here = self._here or self._start_here()
        else:
            self._here = None  # its models go before others are loaded
            self._on_ray = self._on_ray or self._start_ray()
        self._chosen.open(shop_ids, device_factory, settings, kept)

    def _serves_here(self, shops: int, settings: HostSettings, kept: int) -> bool:
        """A cap would hold for all of this process, and a model that may take any GPU would take one that it sees."""
        one = self._count == 1 or shops <= 1 or kept == 1
        if not one or settings.host_memory_gib is not None:
            return False
        import_at_once(self._imports)
        return not _sees_gpu()

    @property
    def _chosen(self) -> Hosts:
        hosts = self._here or self._on_ray
        assert hosts is not None, "open comes first"
        return hosts

    def adapter_shapes(self) -> Shapes:
        """As `Hosts.adapter_shapes`."""
        return self._chosen.adapter_shapes()

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """As `Hosts.run`."""
        return self._chosen.run(jobs)

    def reports(self) -> tuple[HostReport, ...]:
        """As `Hosts.reports`."""
        return self._chosen.reports()


def _sees_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
