"""From the shops' folders to the files of the run: one file each for samples, metrics and egress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecc_fed.core.records import EgressEntry
from ecc_fed.core.run_directory import RunDirectory, read_jsonl, write_jsonl
from ecc_fed.evolution.shop_state import newest_state
from ecc_fed.federation.results import FederationResult
from ecc_fed.privacy.ledger import read_ledger, write_ledger
from ecc_fed.runs.attribution import ValuesOfShops, attributed


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
