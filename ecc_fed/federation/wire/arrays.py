"""Adapters as Flower's arrays, and back."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord

from ecc_fed.core.records import AdapterState

# numpy parses a tensor's header with `ast`, and Python 3.11 checks its depth in a counter that all threads share: shops
# that read at the same time now and then failed (the error of https://github.com/python/cpython/issues/106905).
_PARSING = threading.Lock()

# How numpy's format begins: the magic and version 1.0, which holds any tensor of plain numbers.
_NPY = b"\x93NUMPY\x01\x00"

AnyArray = np.ndarray[Any, np.dtype[Any]]


def to_arrays(state: AdapterState | None) -> ArrayRecord:
    """The state as Flower sends it; None becomes an empty record."""
    return ArrayRecord({name: Array(np.ascontiguousarray(tensor)) for name, tensor in (state or {}).items()})


def from_arrays(record: ArrayRecord | None) -> AdapterState | None:
    """The state in `record`; None for no record or an empty one.

    Raises:
        ValueError: a tensor's bytes are not a numpy array.
    """
    if not record:
        return None
    return {name: _tensor(array) for name, array in record.items()}


def _tensor(array: Array) -> AnyArray:
    """`array.numpy()`, which for the tensors of an adapter takes four times as long: it parses every header anew."""
    data = array.data
    if array.stype == "numpy.ndarray" and data.startswith(_NPY):
        start = len(_NPY) + 2 + int.from_bytes(data[len(_NPY) : len(_NPY) + 2], "little")
        shape, fortran_order, dtype = _header(data[:start])
        if not dtype.hasobject and len(data) - start == math.prod(shape) * dtype.itemsize:
            flat = np.frombuffer(data, dtype, offset=start)
            return flat.reshape(shape, order="F" if fortran_order else "C").copy()
    with _PARSING:
        return array.numpy()  # says what is wrong


@lru_cache(maxsize=1024)
def _header(start: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of a tensor in numpy's format, version 1.0."""
    with _PARSING:
        return np.lib.format.read_array_header_1_0(BytesIO(start[len(_NPY) :]))
