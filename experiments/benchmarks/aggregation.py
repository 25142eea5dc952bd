"""What it takes the server to make one adapter of many: seconds and memory by method, against a naive stack.

    python -m experiments.benchmarks.aggregation [--quick] [--uploads 250,1000] [--json FILE]

Uploads are rank-8 adapters on q, k and v of a base of ChatGLM3-6B's shape (28 layers; q 4096 x 4096, k and v
256 x 4096), as a file that is read tensor by tensor gives them: what a method holds is its own. Their numbers come
from a drawn pool, so that no time goes into drawing. Every measurement is a process of its own: its peak is that of
the resident memory above what the process began with. Methods report their error in that time too, as in a run.

`naive` stacks all of a module in float64, multiplies it out and takes the SVD of the d_out x d_in matrix. A method
that stacks (flexlora, florist, flora, fedex_lora, and the report of every other) folds its stack once that is wider
than twice the smaller side: its memory is bounded by the matrix, not by the number of uploads.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, Exchange, low_rank_pairs, matches
from ecc_fed.core.protocols import Aggregator
from ecc_fed.core.records import Array
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedex_lora import FedExLora
from ecc_fed.federation.aggregation.fedrot_lora import FedRotLora
from ecc_fed.federation.aggregation.fedsa_lora import FedSaLora
from ecc_fed.federation.aggregation.fedsvd import FedSvd
from ecc_fed.federation.aggregation.ffa_lora import FfaLora
from ecc_fed.federation.aggregation.flexlora import FlexLora
from ecc_fed.federation.aggregation.flora import Flora
from ecc_fed.federation.aggregation.florist import Florist
from ecc_fed.federation.aggregation.frozen_sum import Bound
from ecc_fed.federation.aggregation.hetlora import HetLora
from ecc_fed.federation.aggregation.lora_fair import LoraFair
from ecc_fed.federation.aggregation.rolora import RoLora

RANK, LORA_ALPHA, POOL = 8, 32.0, 64
# By module (d_out, d_in), and the layers.
FULL = ({"q_proj": (4096, 4096), "k_proj": (256, 4096), "v_proj": (256, 4096)}, 28)
QUICK = ({"q_proj": (256, 256), "k_proj": (32, 256), "v_proj": (32, 256)}, 2)
MIB = 1 << 20


def scale_at(rank: int) -> float:
    """s of LoRA."""
    return LORA_ALPHA / rank


METHODS: dict[str, Callable[[], Aggregator]] = {
    "fedavg": FedAvg,
    "ffa_lora": FfaLora,
    "rolora": RoLora,
    "fedsa_lora": FedSaLora,
    "fedsvd": FedSvd,
    "fedrot_lora": FedRotLora,
    "lora_fair": lambda: LoraFair(0.01),
    "hetlora": lambda: HetLora(scale_at=scale_at),
    "flexlora": lambda: FlexLora(scale_at=scale_at),
    "florist": lambda: Florist(0.95, 32, scale_at=scale_at),
    "flora": lambda: Flora(Bound(64, 0.99), 0),
    "fedex_lora": lambda: FedExLora(Bound(64, 0.99)),
}
NAIVE = "naive"


class Upload(Mapping[str, Array]):
    """What goes up of one shop's adapter; each tensor is there when it is asked for.

    What a method does not train is as in the first shop.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        pool: Mapping[tuple[int, ...], Array],
        shop: int,
        exchange: Exchange,
    ) -> None:
        self._shapes = {name: shape for name, shape in shapes.items() if matches(name, exchange.up)}
        self._pool = pool
        self._places = {
            name: place + 31 * shop * matches(name, exchange.train) for place, name in enumerate(self._shapes)
        }

    def __getitem__(self, name: str) -> Array:
        drawn = self._pool[self._shapes[name]]
        found: Array = drawn[self._places[name] % len(drawn)]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def uploads(count: int, modules: Mapping[str, tuple[int, int]], layers: int, exchange: Exchange) -> list[AdapterUpdate]:
    """What goes up of `count` adapters, of 1 to 50 examples each."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        for name, (d_out, d_in) in modules.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            shapes[f"{stem}.lora_A.weight"], shapes[f"{stem}.lora_B.weight"] = (RANK, d_in), (d_out, RANK)
    rng = derive_rng(0, "aggregation_benchmark")
    pool = {
        shape: rng.standard_normal((POOL, *shape), np.float32) * np.float32(0.02)
        for shape in sorted(set(shapes.values()))
    }
    examples = rng.integers(1, 51, count).tolist()
    return [
        AdapterUpdate(f"shop_{shop:04d}", 1, Upload(shapes, pool, shop, exchange), examples[shop], scale_at(RANK))
        for shop in range(count)
    ]


def naive(updates: Sequence[AdapterUpdate]) -> None:
    """The best approximation of the mean product, by a stack of everything and the SVD of the whole matrix."""
    total = sum(update.num_examples for update in updates)
    for name_a, name_b in low_rank_pairs(updates[0].adapter):
        left = np.concatenate(
            [u.num_examples / total * u.scale * u.adapter[name_b].astype(np.float64) for u in updates], axis=1
        )
        right = np.concatenate([u.adapter[name_a].astype(np.float64) for u in updates], axis=0)
        np.linalg.svd(left @ right, full_matrices=False)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def measure(method: str, count: int, modules: Mapping[str, tuple[int, int]], layers: int) -> dict[str, Any]:
    """Seconds, peak MiB above the start, and the error that the method reports."""
    aggregator = None if method == NAIVE else METHODS[method]()
    given = uploads(count, modules, layers, WHOLE if aggregator is None else aggregator.exchange(1))
    before, started, error = _peak_mib(), time.perf_counter(), None
    if aggregator is None:
        naive(given)
    else:
        error = aggregator.aggregate(aggregator.start(), given)[1].relative_error
    return {"seconds": time.perf_counter() - started, "peak_mib": _peak_mib() - before, "relative_error": error}


def main(arguments: list[str] | None = None) -> None:
    """Measures one after another, prints the table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small matrices and few uploads: that it runs")
    parser.add_argument("--uploads", help="counts, default 250,1000 (quick: 5,20)")
    parser.add_argument("--layers", type=int, help="default 28 (quick: 2)")
    parser.add_argument("--methods", help=f"default all: {','.join([NAIVE, *METHODS])}")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(arguments)
    modules, layers = QUICK if chosen.quick else FULL
    counts = [int(count) for count in (chosen.uploads or ("5,20" if chosen.quick else "250,1000")).split(",")]
    figures: dict[str, dict[int, dict[str, Any]]] = {}
    print(f"| method | {' | '.join(f'{n} uploads: s | MiB' for n in counts)} | error |")
    print(f"|---|{'---|' * (2 * len(counts) + 1)}")
    for method in (chosen.methods or ",".join([NAIVE, *METHODS])).split(","):
        row = {}
        for count in counts:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                row[count] = alone.submit(measure, method, count, modules, chosen.layers or layers).result()
        figures[method] = row
        cells = " | ".join(f"{row[n]['seconds']:.1f} | {row[n]['peak_mib']:.0f}" for n in counts)
        error = row[counts[-1]]["relative_error"]
        print(f"| {method} | {cells} | {'-' if error is None else f'{error:.2g}'} |", flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
