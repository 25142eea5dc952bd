"""What ten thousand shop-rounds leave behind in a process: resident memory, threads, open files.

    python experiments/reliability/shop_rounds.py --shops 100 --rounds 100

Shops without a model, each with its state in a file, in one host of this very process: what is measured is the
federation's own. What stays of a shop-round are its results (its row, and the ledger's entries of its messages), so
resident memory grows by their size; threads and open files stay as they are.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, Exchange, Shapes
from ecc_fed.core.records import AdapterState, EvaluationReport, PublicSet
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.arms import Aggregated
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation

LAYERS, WIDTH, RANK = 8, 64, 4
SHAPES: Shapes = {
    f"base_model.model.layers.{layer}.q_proj.lora_{factor}.weight": (RANK, WIDTH) if factor == "A" else (WIDTH, RANK)
    for layer in range(LAYERS)
    for factor in "AB"
}


class Shops:
    """Satisfies `Device`: every round moves a shop's adapter a little at random, and keeps it in a file."""

    def __init__(self, folder: Path, shop_ids: tuple[str, ...]) -> None:
        self.shop_ids = shop_ids
        self._folder = folder

    def adapter_shapes(self) -> Shapes:
        """The same for all."""
        return SHAPES

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        """From what came, or else from what is kept."""
        path = self._folder / f"{shop_id}.npz"
        own = (
            dict(np.load(path))
            if path.exists()
            else {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
        )
        rng = derive_rng(0, shop_id, server_round)
        start = {**own, **(incoming or {})}
        new = {
            name: (tensor + 0.01 * rng.standard_normal(tensor.shape)).astype(np.float32)
            for name, tensor in start.items()
        }
        np.savez(path, **new)
        return AdapterUpdate(shop_id, server_round, new, 8, metrics={"loss": 1.0 / server_round})

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        """Nothing to answer."""
        return EvaluationReport(0)


@dataclass(frozen=True, slots=True)
class Use:
    """What this process holds after a server round."""

    server_round: int
    rss_bytes: int
    threads: int
    open_files: int


def _use(server_round: int) -> Use:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Use(server_round, pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), files)


def measure(num_shops: int, server_rounds: int, at: Sequence[int]) -> list[Use]:
    """What the process holds after each of the rounds `at`."""
    found: list[Use] = []

    def round_ended(checkpoint: Checkpoint) -> None:
        record = checkpoint.rounds[-1]
        assert not record.failures, record.failures
        if record.server_round in at:
            found.append(_use(record.server_round))

    with tempfile.TemporaryDirectory(prefix="ecc_fed-shop_rounds-") as folder:
        run_federation(
            FederationPlan(Aggregated(server_rounds, evaluates_base=False), FedAvg()),
            [f"shop_{number:04d}" for number in range(num_shops)],
            partial(Shops, Path(folder)),
            InProcessHosts(),
            on_checkpoint=round_ended,
        )
    return found


def main() -> None:
    """Measures and prints one line for each of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    # The first rounds fill caches.
    at = sorted({max(1, round(options.rounds * share)) for share in (0.05, 0.25, 0.5, 0.75, 1.0)})
    found = measure(options.shops, options.rounds, at)
    print(f"{'round':>6}{'shop-rounds':>13}{'resident MiB':>14}{'threads':>9}{'files':>7}")
    for use in found:
        done = use.server_round * options.shops
        print(f"{use.server_round:>6}{done:>13,}{use.rss_bytes / 2**20:>14.1f}{use.threads:>9}{use.open_files:>7}")
    rounds = found[-1].server_round - found[0].server_round
    if rounds:
        grown = (found[-1].rss_bytes - found[0].rss_bytes) / (rounds * options.shops)
        print(f"grown by {grown:,.0f} bytes for each shop-round between the first line and the last")


if __name__ == "__main__":
    main()
