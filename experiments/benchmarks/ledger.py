"""What it takes to count a message for the ledger, and what Flower makes of the same message.

    python -m experiments.benchmarks.ledger [--mib 10]

One answer with an adapter of 28 x 7 pairs of tensors, so many MiB in all, on one thread; the fastest of five. `ledger`
is every entry with its digest, `again` the same of a message that shares its tensors, `protobuf` Flower's own
serialisation in one piece, whose bytes the ledger counts, `objects` what its deployment engine carries instead: parts
named by their SHA-256, equal ones once, without the requests around them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.serde import message_to_proto
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.arrays import to_arrays
from ecc_fed.federation.wire.serialised import Known

LAYERS, MODULES, REPEATS = 28, 7, 5


def message(mib: float) -> Message:
    """An answer of about that size."""
    rng, numbers = derive_rng(0, "ledger"), int(mib * 2**20 / 4 / (2 * LAYERS * MODULES))
    adapter = {
        f"base_model.model.model.layers.{layer}.self_attn.module_{module}.lora_{factor}.weight": rng.standard_normal(
            (8, max(1, numbers // 8))
        ).astype(np.float32)
        for layer in range(LAYERS)
        for module in range(MODULES)
        for factor in "AB"
    }
    config = ConfigRecord({"run": "0" * 16, "phase": "train", "server-round": 1, "shop-id": "shop_0000"})
    metrics = MetricRecord({"num-examples": 80, "scale": 2.0})
    return Message(RecordDict({"config": config, "metrics": metrics, "arrays": to_arrays(adapter)}), 2, "train")


def fastest(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds of the fastest run, and what it gives."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        size = work()
        seconds.append(time.perf_counter() - started)
    return min(seconds), size


def figures(mib: float) -> dict[str, tuple[float, int]]:
    """(seconds, bytes) of each way to look at the message."""
    identify_process(1)
    sent, known = message(mib), Known()
    records.traffic_entries("a", 1, "up", sent, known)

    def counted(known: Known | None = None) -> int:
        return sum(entry.num_bytes for entry in records.traffic_entries("a", 1, "up", sent, known))

    def objects() -> int:
        fresh = Message(RecordDict(dict(sent.content)), 2, "train")
        for array in fresh.content.array_records["arrays"].values():
            array.data = bytes(array.data)  # forgets what it knows of its own digest
        return sum(len(each.deflate()) for each in get_all_nested_objects(fresh).values())

    return {
        "ledger": fastest(counted),
        "again": fastest(lambda: counted(known)),
        "protobuf": fastest(lambda: len(message_to_proto(sent).SerializeToString())),
        "objects": fastest(objects),
    }


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.ledger", description=__doc__)
    parser.add_argument("--mib", type=float, default=10.0)
    mib = parser.parse_args().mib
    print(f"| {mib:g} MiB | seconds | bytes |\n|---|---|---|")
    for name, (seconds, size) in figures(mib).items():
        print(f"| {name} | {seconds:.4f} | {size:,} |")


if __name__ == "__main__":
    main()
