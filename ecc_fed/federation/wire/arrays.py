"""Adapters as Flower's arrays, and back.

Bytes from outside are read by a parser of our own that knows one form, the one in which numpy writes a tensor of
plain numbers. `numpy.load` would open archives too, and evaluate a header as Python's syntax.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord

from ecc_fed.core.records import AdapterState

# How numpy's format begins: the magic and version 1.0, which holds any tensor of plain numbers.
_NPY = b"\x93NUMPY\x01\x00"
# The header as every version of numpy writes it, filled up with spaces.
_HEADER = re.compile(
    rb"\{'descr': '([<>|=][biufc][0-9]{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), \} *\n"
)
_SIZE = re.compile(rb"[0-9]+")

AnyArray = np.ndarray[Any, np.dtype[Any]]


def to_arrays(state: AdapterState | None) -> ArrayRecord:
    """The state as Flower sends it, in the order of its names: what was computed and what was read from a file are one.

    None becomes an empty record.
    """
    return ArrayRecord({name: Array(np.ascontiguousarray(tensor)) for name, tensor in sorted((state or {}).items())})


def from_arrays(record: ArrayRecord | None) -> AdapterState | None:
    """The state in `record`; None for no record or an empty one.

    Raises:
        ValueError: a tensor's bytes are not a numpy array of plain numbers.
    """
    if not record:
        return None
    return {name: view(array).copy() for name, array in record.items()}


def view(array: Array) -> AnyArray:
    """What `array` holds, read-only and without a copy: what its header claims is held against its bytes first.

    Raises:
        ValueError: it is not a numpy array of plain numbers.
    """
    data = array.data
    if array.stype != "numpy.ndarray":
        raise ValueError(f"it is serialized as {array.stype}, not as numpy.ndarray")
    if not data.startswith(_NPY):
        raise ValueError("its bytes do not begin as numpy's format 1.0 does")
    start = len(_NPY) + 2 + int.from_bytes(data[len(_NPY) : len(_NPY) + 2], "little")
    header = _HEADER.fullmatch(data, len(_NPY) + 2, start)
    if header is None:
        raise ValueError("its header is not that of plain numbers")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in _SIZE.findall(header[3]))
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) - start != wanted:
        raise ValueError(f"its header claims {wanted} bytes of numbers and {len(data) - start} are there")
    flat = np.frombuffer(data, dtype, offset=start)
    return flat.reshape(shape, order="F" if header[2] == b"True" else "C")
