"""An adapter as tensors under peft's names: a seeded start, and a check. Neither torch nor peft is needed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecc_fed.core.aggregation import LORA_A, LORA_B, Shapes, matches
from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import AdapterState, Array
from ecc_fed.core.seeding import derive_rng
from ecc_fed.end_model.adapters.names import EMBEDDING, ENCODER


def fresh_adapter(shapes: Mapping[str, tuple[int, ...]], seed: int) -> AdapterState:
    """A new adapter, drawn as peft draws it: A uniform in +-1/sqrt(d_in) (kaiming, a = sqrt 5) and B zero.

    A prompt encoder's embedding is N(0, 1), its linear layers uniform in +-1/sqrt(d_in). DoRA's
    magnitudes are the base's own norms, so whoever holds the base sets them. Every tensor draws
    from its own stream of `seed`, so torch's global generator plays no part.
    """
    state = {}
    for name, shape in shapes.items():
        rng = derive_rng(seed, "adapter", name)
        if ".lora_A." in name or name.startswith(f"{ENCODER}.transform."):
            bound = shapes[f"{name.rpartition('.')[0]}.weight"][1] ** -0.5
            state[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        elif name == EMBEDDING:
            state[name] = rng.standard_normal(shape).astype(np.float32)
        else:
            state[name] = np.zeros(shape, np.float32)
    return state


def of_rank(adapter: AdapterState, rank: int | None) -> AdapterState:
    """The first `rank` rows of every A and columns of every B; the adapter itself for None.

    Of a fresh adapter that is a fresh adapter: A's bound does not depend on the rank.
    """
    if rank is None:
        return adapter
    first = {name: tensor[:rank] if matches(name, LORA_A) else tensor for name, tensor in adapter.items()}
    return {
        name: np.ascontiguousarray(tensor[:, :rank] if matches(name, LORA_B) else tensor)
        for name, tensor in first.items()
    }


def widened(adapter: AdapterState, rank: int) -> AdapterState:
    """With zeros behind the ranks of every A and B up to `rank`: B A stays as it is."""

    def filled(name: str, tensor: Array) -> Array:
        missing = {0: rank - len(tensor)} if matches(name, LORA_A) else {}
        missing = {1: rank - tensor.shape[1]} if matches(name, LORA_B) else missing
        return np.pad(tensor, [(0, missing.get(axis, 0)) for axis in range(tensor.ndim)])

    return {name: filled(name, tensor) for name, tensor in adapter.items()}


def shapes_of_rank(shapes: Shapes, rank: int | None) -> Shapes:
    """The same adapter's shapes at another rank; None: without low-rank factors, as they are."""
    if rank is None:
        return shapes
    return {
        name: (rank, *shape[1:])
        if matches(name, LORA_A)
        else (*shape[:1], rank, *shape[2:])
        if matches(name, LORA_B)
        else shape
        for name, shape in shapes.items()
    }


def check_adapter(state: AdapterState, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses an adapter of another shape than this engine's.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    for name, shape in shapes.items():
        if name not in state:
            raise ModelError(f"the adapter lacks {name}; it was made for another base, method or other target_modules")
        if tuple(state[name].shape) != shape:
            raise ModelError(
                f"the adapter's {name} has shape {tuple(state[name].shape)}, wanted {shape}; "
                "it was made with other adapter settings or for another base"
            )
    unknown = [name for name in state if name not in shapes]
    if unknown:
        raise ModelError(f"the adapter's {unknown[0]} has no place in this base; check target_modules")
