"""One run of an arm: its rounds, played on hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint, FederationResult
from ecc_fed.federation.round_trip import Server
from ecc_fed.federation.rounds import OnCheckpoint, run_rounds
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.grid import HostGrid, Progress
from ecc_fed.hosts.jobs import DeviceFactory, Hosts
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import MEASURED, HostSettings
from ecc_fed.hosts.start import quiet_engines

# Called with the hosts' reports once they are ready.
OnOpen = Callable[[tuple[HostReport, ...]], None]


def run_federation(
    plan: FederationPlan,
    shop_ids: Sequence[str],
    device_factory: DeviceFactory,
    hosts: Hosts,
    *,
    resume: Checkpoint | None = None,
    settings: HostSettings = MEASURED,
    kept: Sequence[BatchSize] = (),
    on_open: OnOpen | None = None,
    on_progress: Progress | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> FederationResult:
    """One run of an arm over `shop_ids` on `hosts`.

    Args:
        plan: arm, aggregator and transforms.
        shop_ids: all shops of the run; their order is the order of every sum.
        device_factory: builds the device of the shops it is given, inside a host; picklable.
        hosts: `run_hosts(...)`, or `InProcessHosts()` for a run without Ray.
        resume: goes on from this checkpoint instead of from the start.
        settings: what every host may use.
        kept: of a run that goes on, the batch sizes that its hosts had chosen at its start.
        on_open: called once the hosts are ready, with their reports.
        on_progress: called as each shop finishes: phase, server_round, shop_id, seconds.
        on_checkpoint: called with all that is needed to go on, after the base's evaluation and after each round.

    Raises:
        EccError: what `device_factory` raised.
        FederationError: no shop, a host that cannot load, or an aggregator that fails.
    """
    quiet_engines()
    hosts.open(shop_ids, device_factory, settings, kept)
    if plan.federated and shop_ids:
        plan = plan.expecting(hosts.adapter_shapes())
    if on_open is not None:
        on_open(hosts.reports())
    grid = HostGrid(hosts, shop_ids, on_progress)
    server = Server(grid, grid.shops, own_hosts=True)
    return run_rounds(server, plan, resume=resume, on_checkpoint=on_checkpoint)
