"""Which known texts are nearest to another: cosine over what they are made of, weighted by TF-IDF.

That is characters and character bigrams where the known texts leave no spaces, as in Chinese, and words with the
trigrams within them where they do: of English letters there are too few to tell questions apart.

A feature's weight in a text is its count times ln((n + 1) / (d + 1)) + 1, where d of the n known texts have it
(the smoothed inverse document frequency of scikit-learn). No weights to load, any language, nothing but the shop's own
texts.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Equal texts must tie, whatever the order in which their features were added.
_DECIMALS = 6


# Han, kana and Thai, which leave no spaces between words.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_WORD = re.compile(r"[^\W_]+")


def features(text: str, spaced: bool = False) -> Counter[str]:
    """What a text is made of, full-width and case folded, with counts; of letters and digits alone.

    Characters and bigrams; of a `spaced` text words between marks, and the trigrams within them.
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    if spaced:
        words = [f"<{word}>" for word in _WORD.findall(folded)]
        return Counter([*words, *(word[i : i + 3] for word in words for i in range(len(word) - 2))])
    plain = "".join(filter(str.isalnum, folded))
    return Counter([*plain, *(plain[i : i + 2] for i in range(len(plain) - 1))])


def are_spaced(texts: Sequence[str]) -> bool:
    """Whether more letters of the texts belong to words between spaces than to scripts that leave none."""
    letters = sum(sum(map(str.isalpha, text)) for text in texts)
    return letters > 2 * sum(len(_UNSPACED.findall(text)) for text in texts)


class NearestTexts:
    """An inverted index over known texts.

    Args:
        texts: the known ones, oldest first; equal ones count each.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        self._spaced = are_spaced(texts)
        found: dict[str, tuple[list[int], list[int]]] = {}  # feature -> the texts that have it, how often
        for place, text in enumerate(texts):
            for feature, times in features(text, self._spaced).items():
                places, counts = found.setdefault(feature, ([], []))
                places.append(place)
                counts.append(times)
        squares = np.zeros(self._count)
        self._postings: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]] = {}
        for feature, (at, times_each) in found.items():
            having = np.array(at, dtype=np.intp)
            weights = np.array(times_each) * self._rarity(len(at))
            squares[having] += weights**2
            self._postings[feature] = having, weights
        self._lengths = np.sqrt(np.where(squares > 0, squares, 1.0))

    def similarities(self, text: str) -> npt.NDArray[np.float64]:
        """(texts,), each in 0..1: cosines to the known texts, 0 to one without letters or digits.

        A feature that no known text has makes `text` longer, and so farther from all of them.
        """
        scores, square = np.zeros(self._count), 0.0
        for feature, times in features(text, self._spaced).items():
            having, weights = self._postings.get(feature, _NOWHERE)
            weight = times * self._rarity(len(having))
            square += weight**2
            scores[having] += weight * weights
        if square:
            scores /= self._lengths * math.sqrt(square)
        return np.minimum(scores.round(_DECIMALS), 1.0)

    def nearest(self, text: str, count: int) -> list[int]:
        """Places of the `count` nearest known texts, farthest first; of equally near ones the newer is nearer."""
        order = np.argsort(self.similarities(text), kind="stable")
        return [int(place) for place in order[max(0, self._count - count) :]]

    def _rarity(self, texts_with_it: int) -> float:
        return math.log((self._count + 1) / (texts_with_it + 1)) + 1


_NOWHERE = np.empty(0, dtype=np.intp), np.empty(0)
