"""Adapters of several modules, drawn, and what becomes of their products as whole float64 matrices."""

from collections.abc import Sequence

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, low_rank_pairs
from ecc_fed.core.frozen_part import frozen_names, frozen_rank
from ecc_fed.core.records import AdapterState

# (d_out, d_in): one square, where a transposed factor shows in no shape.
MODULES = {"m.q_proj": (12, 12), "m.k_proj": (5, 12), "m.o_proj": (12, 9)}


def lora(rank: int) -> float:
    """lora_alpha 8."""
    return 8.0 / rank


def rslora(rank: int) -> float:
    """lora_alpha 8."""
    return 8.0 / rank**0.5


def drawn(rng: np.random.Generator, rank: int, modules=MODULES) -> dict[str, np.ndarray]:
    adapter = {}
    for name, (d_out, d_in) in modules.items():
        adapter[f"{name}.lora_A.weight"] = rng.standard_normal((rank, d_in)).astype(np.float32)
        adapter[f"{name}.lora_B.weight"] = rng.standard_normal((d_out, rank)).astype(np.float32)
    return adapter


def updates_of(
    ranks: Sequence[int], counts: Sequence[int], scale_at=lora, seed: int = 0, server_round: int = 1
) -> list[AdapterUpdate]:
    rng = np.random.default_rng(seed)
    return [
        AdapterUpdate(f"shop_{i}", server_round, drawn(rng, rank), count, scale_at(rank))
        for i, (rank, count) in enumerate(zip(ranks, counts, strict=True))
    ]


def products(adapter: AdapterState, scale: float) -> dict[str, np.ndarray]:
    """s B A by module."""
    return {
        a: scale * adapter[b].astype(np.float64) @ adapter[a].astype(np.float64) for a, b in low_rank_pairs(adapter)
    }


def added(adapter: AdapterState, scale: float) -> dict[str, np.ndarray]:
    """s B A by module, and the frozen part where there is one."""
    found = products(adapter, scale)
    for name in found if frozen_rank(adapter) else ():
        frozen_a, frozen_b = (adapter[each].astype(np.float64) for each in frozen_names(name))
        found[name] = found[name] + frozen_b @ frozen_a
    return found


def mean_product(updates: Sequence[AdapterUpdate], weights: Sequence[float] | None = None) -> dict[str, np.ndarray]:
    """W* by module: by examples, unless `weights` say otherwise."""
    counts = [update.num_examples for update in updates] if weights is None else weights
    shares = np.asarray(counts, np.float64) / np.sum(counts)
    every = [added(update.adapter, update.scale) for update in updates]
    return {name: sum(share * each[name] for share, each in zip(shares, every, strict=True)) for name in every[0]}


def best_of_rank(matrix: np.ndarray, rank: int) -> np.ndarray:
    u, values, vt = np.linalg.svd(matrix)
    k = min(rank, len(values))
    return (u[:, :k] * values[:k]) @ vt[:k]


def distance(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
    """Relative, in Frobenius norm over all modules."""
    assert found.keys() == wanted.keys()
    gap = np.sqrt(sum(np.sum((found[name] - wanted[name]) ** 2) for name in wanted))
    return float(gap / np.sqrt(sum(np.sum(each**2) for each in wanted.values())))
