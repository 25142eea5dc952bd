"""A thousand shops on this machine: host memory after each wave of shops, and loads of the base.

    python experiments/benchmarks/thousand_shops.py

Runs the embedded models through the whole pipeline with a few queries and steps a shop. Prints each host's resident
memory whenever a batch's worth of its shops has finished: it must not grow after the first batch.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.rows import read_run_info
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.hosting import open_hosts
from ecc_fed.runs.simulation import simulate

MIB = 2**20


def resident_mib(process_id: int) -> float:
    """Resident memory of another process of this machine (Linux)."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def measure(num_shops: int, rounds: int, steps: int, shops_per_batch: int, overrides: list[str]) -> dict[str, object]:
    """Runs the shops and prints memory wave by wave; returns the totals."""
    settings = [
        "runtime.engine=shared",
        f"runtime.shops_per_batch={shops_per_batch}",
        "arm=local",
        f"corpus.num_shops={num_shops}",
        "corpus.pairs_per_shop=12",
        "corpus.test_pairs_per_shop=2",
        f"evolution.server_rounds={rounds}",
        f"finetune.steps={steps}",
        "finetune.batch_size=4",
        "decoding.max_new_tokens=16",
    ]
    config = to_run_config(compose_run([*settings, *overrides]))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ecc_fed-benchmark-") as folder, open_hosts(config) as hosts:
        process_ids: tuple[int, ...] = ()
        wave = 0

        def on_progress(stage: str, done: int, total: int) -> None:
            nonlocal wave, process_ids
            seconds = time.perf_counter() - started
            if done == 0:
                print(f"{seconds:7.0f} s  {stage}", flush=True)
                process_ids = hosts.process_ids()  # a host at work does not answer
            elif done // (shops_per_batch * len(process_ids)) > wave:
                wave = done // (shops_per_batch * len(process_ids))
                memory = " ".join(f"{resident_mib(process_id):6.0f}" for process_id in process_ids)
                print(f"{seconds:7.0f} s  {done:5} of {total}  {stage:<20} MiB:{memory}", flush=True)

        directory = RunDirectory(Path(folder))
        simulate(config, directory, hosts, on_progress)
        run = read_run_info(directory.run)
    return {
        "shops": len(run.shops),
        "rounds": rounds,
        "failures": len(run.failures),
        "seconds": round(time.perf_counter() - started),
        "hosts": run.runtime.hosts,
        "shops_per_batch": run.runtime.shops_per_batch,
        "base_loads": run.runtime.base_loads,
        "peak_rss_mib": round(run.runtime.peak_rss_bytes / MIB),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1, help="from the second on, states come back from disk")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--shops-per-batch", type=int, default=64)
    parser.add_argument("overrides", nargs="*", help="further settings, as for `ecc-fed run`")
    options = parser.parse_args()
    print(json.dumps(measure(options.shops, options.rounds, options.steps, options.shops_per_batch, options.overrides)))


if __name__ == "__main__":
    main()
