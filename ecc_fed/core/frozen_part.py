"""The frozen part of a shop's adapter: what a method would add to the base, which all shops share and nobody writes to.

    W + s B A + F_B F_A

A and B are the adapter's own, of rank r and scale s; F_A (R, d_in) and F_B (d_out, R) come from the server, are served
unscaled, never train and never go up. Their names are those of A and B with `frozen_` in the place of `lora_`.
"""

from __future__ import annotations

import numpy as np

from ecc_fed.core.aggregation import LORA_A, Patterns, Shapes, low_rank_pairs, matches, select
from ecc_fed.core.records import AdapterState

FROZEN: Patterns = ("*.frozen_A.*", "*.frozen_B.*")


def frozen_names(name_a: str) -> tuple[str, str]:
    """Names of F_A and F_B beside the A of this name."""
    return name_a.replace(".lora_A.", ".frozen_A."), name_a.replace(".lora_A.", ".frozen_B.")


def frozen_part(adapter: AdapterState) -> AdapterState:
    """The tensors that nobody trains; empty where the adapter has no such part."""
    return select(adapter, FROZEN)


def own_part(adapter: AdapterState) -> AdapterState:
    """All other tensors."""
    return {name: tensor for name, tensor in adapter.items() if not matches(name, FROZEN)}


def frozen_rank(adapter: AdapterState) -> int:
    """R; 0 without such a part."""
    return next((tensor.shape[0] for name, tensor in adapter.items() if ".frozen_A." in name), 0)


def with_frozen(shapes: Shapes, rank: int) -> Shapes:
    """An adapter's shapes, with those of a frozen part of this rank; without one for rank 0."""
    found = dict(shapes)
    for name_a in [name for name in shapes if rank and matches(name, LORA_A)]:
        frozen_a, frozen_b = frozen_names(name_a)
        found[frozen_a] = (rank, *shapes[name_a][1:])
        found[frozen_b] = (shapes[name_a.replace(".lora_A.", ".lora_B.")][0], rank)
    return found


def whole(adapter: AdapterState, scale: float) -> AdapterState:
    """One plain pair a module, its own r rows first: `scale` B A is s B A + F_B F_A for s = `scale`.

    The adapter itself where it has no frozen part.
    """
    if not frozen_rank(adapter):
        return adapter
    joined = dict(own_part(adapter))
    for name_a, name_b in low_rank_pairs(adapter):
        frozen_a, frozen_b = (adapter[name] for name in frozen_names(name_a))
        scaled = (frozen_b.astype(np.float64) / scale).astype(np.float32)
        joined[name_a] = np.concatenate([adapter[name_a], frozen_a], axis=0)
        joined[name_b] = np.concatenate([adapter[name_b], scaled], axis=1)
    return joined
