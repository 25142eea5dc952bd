"""Lexical text encoders that need no weights: hashed characters and bigrams, or hashed words and their trigrams."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np

from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import Array

# Multipliers of a multiplicative hash (odd, near 2^64 / golden ratio and 2^64 / sqrt 2).
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xB504F333F9DE6485)


def _plain(text: str) -> str:
    """Letters and digits only, full-width and case folded, between two boundary marks."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return "\x02" + "".join(character for character in folded if character.isalnum()) + "\x03"


class CharacterEncoder:
    """Counts of characters and character bigrams, hashed to `dimensions` buckets, of unit L2 norm (a `TextEncoder`).

    Sees spelling, not meaning: two texts are close when they share characters, closer in order.
    """

    def __init__(self, dimensions: int = 2048) -> None:
        require_number("encoder.dimensions", dimensions, 16, 65536)
        self.dimensions = dimensions

    def encode(self, texts: Sequence[str]) -> Array:
        """(texts, dimensions), rows of unit L2 norm, fp32. A row depends on its own text only."""
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            codes = np.array([ord(character) for character in _plain(text)], dtype=np.uint64)
            single, pairs = codes[1:-1] * _FIRST, codes[:-1] * _FIRST + codes[1:] * _SECOND  # wraps modulo 2^64
            buckets = (np.concatenate([single, pairs]) >> np.uint64(32)) % np.uint64(self.dimensions)
            np.add.at(row, buckets.astype(np.intp), 1.0)
            row /= np.linalg.norm(row)
        return rows


class WordEncoder:
    """Counts of words and of trigrams within them, hashed to `dimensions` buckets, of unit L2 norm (a `TextEncoder`).

    For languages that write words apart: there, characters alone are too few to tell one question from another. The
    trigrams let "shipping" be near to "shipped", and to a slip of the pen.
    """

    def __init__(self, dimensions: int = 8192) -> None:
        require_number("encoder.dimensions", dimensions, 16, 65536)
        self.dimensions = dimensions

    def encode(self, texts: Sequence[str]) -> Array:
        """(texts, dimensions), rows of unit L2 norm, fp32. A row depends on its own text only."""
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature in _word_features(text):
                row[zlib.crc32(feature.encode()) % self.dimensions] += 1.0
            row /= np.linalg.norm(row)
        return rows


def _word_features(text: str) -> list[str]:
    # A text without a word has the boundary marks alone.
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()) or [""]
    marked = [f"\x02{word}\x03" for word in words]
    return [*marked, *(word[at : at + 3] for word in marked for at in range(len(word) - 2))]
