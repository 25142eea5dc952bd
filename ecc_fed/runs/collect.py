"""From the shops' folders to the files of the run: one file each for samples, metrics and egress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ecc_fed import __version__
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.run_directory import RunDirectory, read_jsonl, write_jsonl
from ecc_fed.evolution.shop_state import newest_state
from ecc_fed.federation.results import FederationResult, RoundRecord
from ecc_fed.hosts.reports import HostReport
from ecc_fed.privacy.ledger import read_ledger, write_ledger
from ecc_fed.runs.attribution import ValuesOfShops, attributed

_DEPENDENCIES = ("flwr", "torch", "transformers", "peft", "ray", "hydra-core", "numpy", "tokenizers", "safetensors")


def versions() -> dict[str, str]:
    """ecc_fed and every main dependency."""
    found = {"ecc_fed": __version__}
    for name in _DEPENDENCIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def failures(
    result: FederationResult, hosts: Sequence[HostReport], metrics: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Everything that went wrong in the run, each with a reason."""
    rows: list[dict[str, Any]] = [
        {
            "shop_id": failure.shop_id,
            "server_round": failure.server_round,
            "kind": f"shop_{failure.kind}",
            "reason": f"{failure.phase}: {failure.reason}",
        }
        for failure in result.failures
    ]
    rows += [
        {"server_round": skipped.server_round, "kind": "round_skipped", "reason": skipped.reason}
        for skipped in result.skipped_rounds
    ]
    rows += [
        {
            "server_round": halved.server_round,
            "kind": "batch_halved",
            "reason": f"host {number}: {halved.shops} shops at once ran out of memory, from then on {halved.limit} "
            f"({halved.reason})",
        }
        for number, host in enumerate(hosts)
        for halved in host.halvings
    ]
    rows += [
        {"shop_id": row["shop_id"], "server_round": row["server_round"], "kind": "teacher_error", "reason": reason}
        for row in metrics
        for reason in row["teacher_errors"]
    ]
    return rows


def aggregation_rows(rounds: Sequence[RoundRecord]) -> list[dict[str, Any]]:
    """What averaging A and B apart did, a row for every aggregated round."""
    return [
        {"server_round": record.server_round, "relative_error": record.product_error.total}
        for record in rounds
        if record.product_error is not None
    ]


def collect(
    directory: RunDirectory, shop_ids: Sequence[str], result: FederationResult, values: ValuesOfShops
) -> list[dict[str, Any]]:
    """Writes samples.jsonl, metrics.jsonl and egress.jsonl; returns the metrics rows.

    `values` tell whose value a wrong answer states.
    """
    samples: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    egress: list[EgressEntry] = []
    for shop_id in shop_ids:
        folder = directory.shop(shop_id)
        state = newest_state(folder)
        if state is not None:
            metrics += [dict(row) for row in state.metrics]
            egress += state.egress
        for phase in ("base", "final"):
            if (folder / f"evaluation_{phase}.jsonl").exists():
                samples += read_jsonl(folder / f"evaluation_{phase}.jsonl")
                egress += read_ledger(folder / f"evaluation_{phase}_egress.jsonl")
    metrics.sort(key=lambda row: (row["server_round"], row["cycle"]))  # stable: shop order within
    write_jsonl(directory.samples, attributed(samples, values))
    write_jsonl(directory.metrics, metrics)
    write_ledger(directory.egress, [*egress, *result.traffic])
    return metrics
