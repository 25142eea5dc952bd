"""From the shops' folders to the files of the run: one file each for samples, metrics and egress."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import MetricRow, SampleRow, read_rows, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.shop_state import newest_state
from ecc_fed.evolution.spending import open_attempts
from ecc_fed.runs.attribution import ValuesOfShops, attributed


def collect(
    directory: RunDirectory, shop_ids: Sequence[str], traffic: Sequence[EgressEntry], values: ValuesOfShops
) -> list[MetricRow]:
    """Writes samples.jsonl, metrics.jsonl and egress.jsonl; returns the metrics rows.

    Args:
        directory: the run's.
        shop_ids: in the order of the files.
        traffic: what went between shops and server; it follows what the shops' own ledgers hold.
        values: tell whose value a wrong answer states.

    Raises:
        RunDirectoryError: a shop's file is broken, or a file cannot be written.
    """
    samples: list[SampleRow] = []
    metrics: list[MetricRow] = []
    egress: list[EgressEntry] = []
    for shop_id in shop_ids:
        folder = directory.shop(shop_id)
        state = newest_state(folder)
        if state is not None:
            metrics += state.metrics
            egress += state.egress
        # What work asked that failed for good, and after which nothing was saved.
        egress += [entry for attempt in open_attempts(folder) for entry in attempt.entries]
        for phase in ("base", "final"):
            if (folder / f"evaluation_{phase}.jsonl").exists():
                samples += read_rows(folder / f"evaluation_{phase}.jsonl", SampleRow)
                egress += read_rows(folder / f"evaluation_{phase}_egress.jsonl", EgressEntry)
    metrics.sort(key=lambda row: (row.server_round, row.cycle))  # stable: shop order within
    write_rows(directory.samples, (attributed(row, values) for row in samples))
    write_rows(directory.metrics, metrics)
    write_rows(directory.egress, [*egress, *traffic])
    return metrics
