"""How alike texts are: chrF (Popović 2015) of each with each, in one pass over the n-grams that they share.

    c_n(t)      counts of the character n-grams of text t, whitespace left out; n = 1..6
    P(i, j)     mean over n of |c_n(i) & c_n(j)| / |c_n(i)|, of those n that both texts are long enough for
    F(i, j)     100 * 2 P(i, j) P(j, i) / (P(i, j) + P(j, i))

P(j, i) is the recall. With beta = 1, in the place of the measure's usual 2, both count alike: neither text is the
reference, and a long one wins nothing by holding the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_LONGEST = 6


def pairwise_chrf(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """(texts, texts), symmetric, each in 0..100; 0 where two texts share no character or one has none."""
    plain = ["".join(text.split()) for text in texts]
    precision = np.zeros((len(texts), len(texts)))
    orders = np.zeros_like(precision)
    for length in range(1, _LONGEST + 1):
        places: dict[str, list[int]] = {}
        times: dict[str, list[int]] = {}
        for place, text in enumerate(plain):
            for gram, count in Counter(text[i : i + length] for i in range(len(text) - length + 1)).items():
                places.setdefault(gram, []).append(place)
                times.setdefault(gram, []).append(count)
        matches = np.zeros_like(precision)
        for gram, at in places.items():
            counts = np.array(times[gram])
            matches[np.ix_(at, at)] += np.minimum.outer(counts, counts)
        totals = np.array([max(0, len(text) - length + 1) for text in plain])
        both = (totals[:, None] > 0) & (totals[None, :] > 0)
        precision += np.where(both, matches / np.maximum(totals, 1)[:, None], 0.0)
        orders += both
    precision /= np.maximum(orders, 1)
    total = precision + precision.T
    return 100 * np.divide(2 * precision * precision.T, total, out=np.zeros_like(total), where=total > 0)
