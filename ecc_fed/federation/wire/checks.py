"""What an adapter from outside must be before anybody averages it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from ecc_fed.core.aggregation import LORA_A, LORA_B, Patterns, matches, ranks
from ecc_fed.core.records import AdapterState, Array

# A tensor's shape in words; "r" stands for the rank of a low-rank factor, which may differ between shops.
Signature = tuple[tuple[str, tuple[str, ...]], ...]


class RefusedReply(ValueError):
    """A reply that must not be averaged; the text is the recorded reason."""


def check_tensors(adapter: AdapterState, wanted: Patterns) -> None:
    """Every tensor wanted, fp32 and finite, and all low-rank factors of one rank.

    Raises:
        RefusedReply: names the first tensor that is not.
    """
    for name, tensor in adapter.items():
        if not matches(name, wanted):
            raise RefusedReply(f"tensor {name} was not asked for")
        if tensor.dtype != np.float32:
            raise RefusedReply(f"tensor {name} is {tensor.dtype}, not float32")
        if not np.isfinite(tensor).all():
            raise RefusedReply(f"tensor {name} holds {int((~np.isfinite(tensor)).sum())} values that are not finite")
    found = ranks(adapter)
    first = next(iter(found), "")
    for name, rank in found.items():
        if rank != found[first]:
            raise RefusedReply(f"tensor {name} has rank {rank}, but {first} has {found[first]}")


def signature(adapter: AdapterState) -> Signature:
    """Names and shapes but for the rank, sorted."""
    return tuple(sorted((name, _shape(name, tensor)) for name, tensor in adapter.items()))


def _shape(name: str, tensor: Array) -> tuple[str, ...]:
    shape = [str(size) for size in tensor.shape]
    if tensor.ndim == 2 and matches(name, LORA_A):
        shape[0] = "r"
    if tensor.ndim == 2 and matches(name, LORA_B):
        shape[1] = "r"
    return tuple(shape)


def most_common(signatures: Iterable[Signature]) -> Signature:
    """The signature that most have; of equally many, the one seen first."""
    return Counter(signatures).most_common(1)[0][0]


def check_signature(adapter: AdapterState, expected: Signature) -> None:
    """Names and shapes as expected.

    Raises:
        RefusedReply: names what is missing, unexpected or of another shape.
    """
    has, wants = dict(signature(adapter)), dict(expected)
    missing = [name for name in wants if name not in has]
    unexpected = [name for name in has if name not in wants]
    if missing or unexpected:
        parts = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
        parts += [f"has unexpected {unexpected[0]} and {len(unexpected) - 1} more"] if unexpected else []
        raise RefusedReply(f"the adapter {'; it '.join(parts)}")
    for name, shape in wants.items():
        if has[name] != shape:
            raise RefusedReply(f"tensor {name} has shape ({', '.join(has[name])}), not ({', '.join(shape)})")
