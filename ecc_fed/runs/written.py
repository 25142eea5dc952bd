"""What a run leaves in its folder once its last shop has answered, whichever engine ran it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.assembly.build import adapter_writer, whole_aggregate
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.records import EgressEntry, Shop
from ecc_fed.core.rows import Reading, write_record, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.owner import owner_of
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult
from ecc_fed.hosts.reports import HostReport
from ecc_fed.runs.attribution import values_of_shops
from ecc_fed.runs.collect import collect
from ecc_fed.runs.run_info import run_info
from ecc_fed.runs.updates import agreed_rows, update_rows


@dataclass(frozen=True, slots=True)
class Ran:
    """A run as it was asked for, its corpus as it was read, and what is true of each shop, by shop_id."""

    run_id: str
    config: RunConfig
    plan: FederationPlan
    shops: Sequence[Shop]
    truth: Mapping[str, ShopTruth]
    reading: Reading | None


def write_run(
    directory: RunDirectory,
    ran: Ran,
    result: FederationResult,
    hosts: Sequence[HostReport],
    asked: Sequence[EgressEntry],
    seconds: Callable[[], float],
) -> None:
    """Collects what the shops left below `directory`, adds what the server saw; `run.json` comes last.

    Args:
        directory: the run's, with the states of all its shops.
        ran: the run.
        result: what the server saw.
        hosts: what its hosts used; empty where no host of ours ran.
        asked: what was sent before the first message to a shop.
        seconds: tells how many the run has taken so far, all its parts together.

    Raises:
        RunDirectoryError: a file cannot be written.
    """
    owners = [owner_of(shop, ran.run_id) for shop in ran.shops]
    collected = collect(directory, owners, [*asked, *result.traffic], values_of_shops(ran.truth))
    write_rows(directory.updates, update_rows(result.rounds))
    if ran.plan.asks(1):
        write_rows(directory.agreed, agreed_rows(result.rounds))
    if result.state.aggregate is not None:
        adapter_writer(ran.config)(directory.aggregate, whole_aggregate(ran.config, result.state.aggregate))
    write_record(
        directory.run,
        run_info(ran.run_id, ran.config, ran.shops, ran.plan, result, hosts, collected, seconds(), ran.reading),
    )
