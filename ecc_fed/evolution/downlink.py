"""How what the server sends takes its place in a shop."""

from __future__ import annotations

import numpy as np

from ecc_fed.core.aggregation import LORA_A, LORA_B, matches
from ecc_fed.core.records import COUNTS, AdapterState, Array, OptimizerState


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


def fitted(optimizer: OptimizerState | None, adapter: AdapterState, turned: bool = False) -> OptimizerState | None:
    """The optimizer for `adapter`: its moments all start anew where a tensor has another shape now, or with `turned`.

    A server may send a shop another rank, or other factors of a like product. Moments are kept number by number, and a
    number of such a factor is another one than before: what was remembered of it would send the first steps anywhere
    (Adam's first moment forgets in some ten steps, its second not within a round). Without them, nothing that a shop
    learns depends on the signs and the order in which an SVD happens to give its factors. The count of steps goes on,
    and with it the schedule; `since` keeps where the moments began, by which Adam corrects them.
    """
    if optimizer is None:
        return None
    slots = {f"{slot}.{name}": tensor for name, tensor in adapter.items() for slot in ("m", "v")}
    if not turned and all(slots[slot].shape == each.shape for slot, each in optimizer.items() if slot in slots):
        return optimizer
    anew = {slot: np.zeros_like(slots.get(slot, each)) for slot, each in optimizer.items() if slot not in COUNTS}
    return {"step": optimizer["step"], **anew, "since": optimizer["step"]}
