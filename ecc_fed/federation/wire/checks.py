"""What an adapter from outside must be before anybody averages it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ecc_fed.core.aggregation import LORA_A, LORA_B, Shapes, matches, ranks
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.core.records import AdapterState

_SHOWN = 200


class RefusedReply(ValueError):
    """A reply that must not count; the text is the recorded reason, one short line that can be printed."""


def shown(text: str) -> str:
    """A foreign text in one short line: cut, and without control characters."""
    return visible(cut(text, _SHOWN)).replace("\n", "\\n")


def check_names(names: Iterable[str], wanted: Iterable[str]) -> None:
    """The tensors wanted and no others.

    Raises:
        RefusedReply: names the first that is missing or unexpected.
    """
    has, wants = set(names), set(wanted)
    missing, unexpected = [name for name in wanted if name not in has], [name for name in names if name not in wants]
    parts = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
    parts += [f"has unexpected {shown(unexpected[0])} and {len(unexpected) - 1} more"] if unexpected else []
    if parts:
        raise RefusedReply(f"the adapter {'; it '.join(parts)}")


def check_shapes(adapter: AdapterState, wanted: Shapes, mixed_ranks: bool) -> None:
    """Every tensor fp32 and of the shape wanted, all low-rank factors of one rank.

    Args:
        adapter: has the names of `wanted`.
        wanted: names and shapes.
        mixed_ranks: the rank may be lower than in `wanted`.

    Raises:
        RefusedReply: names the first tensor that is not.
    """
    for name, shape in wanted.items():
        tensor = adapter[name]
        if tensor.dtype != np.float32:
            raise RefusedReply(f"tensor {name} is {tensor.dtype}, not float32")
        rank_axis = _rank_axis(name, shape) if mixed_ranks else None
        same = len(tensor.shape) == len(shape) and all(
            0 < has <= wants if axis == rank_axis else has == wants
            for axis, (has, wants) in enumerate(zip(tensor.shape, shape, strict=True))
        )
        if not same:
            lower = f", whose axis {rank_axis} may be shorter" if rank_axis is not None else ""
            raise RefusedReply(f"tensor {name} has shape {shown(str(tensor.shape))}, not {shape}{lower}")
    found = ranks(adapter)
    first = next(iter(found), "")
    for name, rank in found.items():
        if rank != found[first]:
            raise RefusedReply(f"tensor {name} has rank {rank}, but {first} has {found[first]}")


def _rank_axis(name: str, shape: tuple[int, ...]) -> int | None:
    if len(shape) != 2:
        return None
    return 0 if matches(name, LORA_A) else 1 if matches(name, LORA_B) else None


def check_values(adapter: AdapterState, max_value: float) -> None:
    """Every value finite, and none beyond `max_value` either way.

    Raises:
        RefusedReply: names the first tensor that holds another.
    """
    for name, tensor in adapter.items():
        # A NaN passes through both, and every comparison with it is false.
        lowest, highest = tensor.min(initial=0.0), tensor.max(initial=0.0)
        if -max_value <= lowest and highest <= max_value and np.isfinite(lowest) and np.isfinite(highest):
            continue
        if not np.isfinite(tensor).all():
            raise RefusedReply(f"tensor {name} holds {int((~np.isfinite(tensor)).sum())} values that are not finite")
        raise RefusedReply(f"tensor {name} holds values from {lowest:g} to {highest:g}; {max_value:g} is the limit")


def shapes_of(adapter: AdapterState) -> Shapes:
    """Names and shapes."""
    return {name: tensor.shape for name, tensor in adapter.items()}
