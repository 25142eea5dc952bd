"""How what the server sends takes its place in a shop."""

from __future__ import annotations

import numpy as np

from ecc_fed.core.records import AdapterState, OptimizerState


def received(own: AdapterState, incoming: AdapterState | None) -> AdapterState:
    """The shop's adapter with the server's tensors in the place of its own of the same names."""
    return {**own, **(incoming or {})}


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
