"""Text as arrays of hashed character n-grams, many texts at a time: under duplicate detection and topics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]
_NEWLINE = 10
_PRIME_1, _PRIME_2 = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)


@cache
def _normal_form() -> Codes:
    """(65536,): the code each code point counts as; 0 where it does not count (signs, white-space)."""
    table = np.zeros(1 << 16, dtype=np.uint32)
    for code in range(1 << 16):
        character = chr(code)
        if character.isdigit():
            table[code] = ord("0")
        elif character.isalpha():
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    table[_NEWLINE] = _NEWLINE
    return table


def normal_codes(texts: Sequence[str]) -> tuple[Codes, npt.NDArray[np.int64]]:
    """(codes, owner): the texts' characters in one row and which text each is of.

    Lower case, numbers masked as a single 0, signs and white-space dropped. `texts` hold no line feed.
    """
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le"), dtype="<u4")
    codes = _normal_form()[np.minimum(codes, (1 << 16) - 1)]
    codes = codes[codes != 0]
    in_number = np.zeros(len(codes), dtype=bool)
    in_number[1:] = (codes[1:] == ord("0")) & (codes[:-1] == ord("0"))
    codes = codes[~in_number]
    ends = codes == _NEWLINE
    owner = np.cumsum(ends)
    return codes[~ends], owner[~ends]


def hashed_shingles(texts: Sequence[str], length: int) -> tuple[Codes, npt.NDArray[np.int64]]:
    """(hashes, owner) of every run of `length` characters within a text's normal form, in order."""
    codes, owner = normal_codes(texts)
    count = len(codes) - length + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.int64)
    hashes = codes[:count].copy()
    for offset in range(1, length):
        hashes *= _PRIME_1
        hashes ^= hashes >> np.uint32(15)
        hashes += codes[offset : offset + count]
    hashes *= _PRIME_2
    hashes ^= hashes >> np.uint32(13)
    hashes *= _PRIME_1
    hashes ^= hashes >> np.uint32(16)
    inside = owner[:count] == owner[length - 1 :]
    return hashes[inside], owner[:count][inside]
