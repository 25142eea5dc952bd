"""How what the server sends takes its place in a shop."""

from __future__ import annotations

import numpy as np

from ecc_fed.core.aggregation import LORA_A, LORA_B, matches
from ecc_fed.core.records import AdapterState, Array, OptimizerState


def received(own: AdapterState, incoming: AdapterState | None, shared_rank: int | None = None) -> AdapterState:
    """The shop's adapter with the server's tensors in the place of its own of the same names.

    With a `shared_rank` the server's pairs have that rank and take the place of as many of the shop's ranks, the first.
    """
    if shared_rank is None or incoming is None:
        return {**own, **(incoming or {})}
    return {
        **own,
        **{name: _before(tensor, own[name], name) if name in own else tensor for name, tensor in incoming.items()},
    }


def _before(shared: Array, own: Array, name: str) -> Array:
    """The server's ranks, then the shop's own."""
    if matches(name, LORA_A):
        return np.concatenate([shared, own[len(shared) :]])
    if matches(name, LORA_B):
        return np.concatenate([shared, own[:, shared.shape[1] :]], axis=1)
    return shared


def fitted(optimizer: OptimizerState | None, adapter: AdapterState) -> OptimizerState | None:
    """The optimizer for `adapter`: moments of a tensor that has another shape now start at zero.

    A server may send a shop another rank. The count of steps goes on, and with it the schedule.
    """
    if optimizer is None:
        return None
    slots = {f"{slot}.{name}": tensor for name, tensor in adapter.items() for slot in ("m", "v")}
    return {
        slot: np.zeros_like(slots[slot]) if slot in slots and slots[slot].shape != moments.shape else moments
        for slot, moments in optimizer.items()
    }
