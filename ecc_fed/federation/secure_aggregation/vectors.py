"""An adapter as one vector, and back: its tensors one after another, by name."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.records import AdapterState


def as_vector(adapter: AdapterState) -> NDArray[np.float32]:
    """All numbers (d,) of a non-empty adapter."""
    return np.concatenate([np.asarray(adapter[name], np.float32).reshape(-1) for name in sorted(adapter)])


def length_of(shapes: Shapes) -> int:
    """d of adapters of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def as_adapter(vector: NDArray[np.float64], shapes: Shapes) -> AdapterState:
    """The tensors in fp32, in the order of `shapes`."""
    found, start = {}, 0
    for name in sorted(shapes):
        size = math.prod(shapes[name])
        found[name] = vector[start : start + size].reshape(shapes[name]).astype(np.float32)
        start += size
    return {name: found[name] for name in shapes}
