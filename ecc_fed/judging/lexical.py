"""Similarity by character n-grams: chrF (Popović, 2015). No weights, no language of its own."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import Array

Profile = tuple[Counter[str], ...]


class CharacterNgrams:
    """`SimilarityModel` and `RelevanceModel` by the F1 of the character n-grams that two texts share.

        P = mean over n of m_n / |a|_n,   R = mean over n of m_n / |b|_n,   chrF = 2 P R / (P + R),   n = 1 .. max_order

    |a|_n is the number of n-grams of a, m_n the number that a and b have in common, each counted as often as it
    stands in both; an n longer than one of the texts takes no part. Letters and digits alone count, with full-width
    forms and case folded. chrF's beta is 1 in the place of 2: neither side is the reference, and their order says
    nothing. It sees spelling, not meaning: another wording of the same answer scores low, a wrong number in the same
    wording high.

    Args:
        max_order: longest n-gram, 1 to 16; chrF takes 6.

    Raises:
        ConfigError: `max_order` out of range.
    """

    def __init__(self, max_order: int = 6) -> None:
        require_number("judge.similarity.max_order", max_order, 1, 16)
        self.max_order = max_order

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        """(pairs,), each in 0..1; 0 where a text has neither letter nor digit.

        Raises:
            ValueError: `left` and `right` differ in length.
        """
        if len(left) != len(right):
            raise ValueError(f"similarity needs as many left as right texts, got {len(left)} and {len(right)}")
        profiles = {text: self._profile(text) for text in {*left, *right}}
        scores = [_chrf(profiles[a], profiles[b]) for a, b in zip(left, right, strict=True)]
        return np.array(scores, dtype=np.float32)

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), how much of each other's wording query and reply take up, 0..1.

        Raises:
            ValueError: `queries` and `replies` differ in length.
        """
        return self.similarity(queries, replies)

    def _profile(self, text: str) -> Profile:
        """The n-grams of every order that the text is long enough for."""
        plain = "".join(character for character in unicodedata.normalize("NFKC", text).lower() if character.isalnum())
        orders = range(1, min(self.max_order, len(plain)) + 1)
        return tuple(Counter(plain[i : i + n] for i in range(len(plain) - n + 1)) for n in orders)


def _chrf(left: Profile, right: Profile) -> float:
    precision = recall = 0.0
    orders = min(len(left), len(right))
    for a, b in zip(left, right, strict=False):
        shared = _shared(a, b)
        if not shared:
            break  # nor is any longer one
        precision += shared / a.total() / orders
        recall += shared / b.total() / orders
    return 2 * precision * recall / (precision + recall) if precision else 0.0


def _shared(left: Counter[str], right: Counter[str]) -> int:
    return sum(min(count, right[gram]) for gram, count in left.items() if gram in right)
