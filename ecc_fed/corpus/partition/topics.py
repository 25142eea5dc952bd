"""Topics of dialogues without any model: spherical k-means on hashed character bigrams.

A text is a row x of `NUM_BUCKETS` weights: x_b = (1 + ln tf_b) * ln((1 + n) / (1 + df_b)), scaled to unit length, with
tf_b the count of bigrams hashed to bucket b and df_b the number of texts of n that have one. k-means on the sphere
(Dhillon and Modha 2001) maximises the sum of cosines to the nearest unit centroid, started by k-means++.
Centroids come from a sample; all texts are then assigned in chunks, so memory does not grow with the corpus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ecc_fed.corpus.cleaning.shingles import hashed_shingles

Rows = npt.NDArray[np.float32]
NUM_BUCKETS = 2048
CHUNK = 2000
MAX_SHARE = 0.5
ITERATIONS = 30
RESTARTS = 3


def bigram_counts(texts: Sequence[str]) -> Rows:
    """(texts, NUM_BUCKETS) counts of hashed bigrams."""
    hashes, owner = hashed_shingles([text.replace("\n", " ") for text in texts], 2)
    cells = owner * NUM_BUCKETS + hashes % NUM_BUCKETS
    return np.bincount(cells, minlength=len(texts) * NUM_BUCKETS).reshape(len(texts), NUM_BUCKETS).astype(np.float32)


def inverse_frequency(counts: Rows) -> Rows:
    """(NUM_BUCKETS,): ln((1 + n) / (1 + df)); 0 for what more than `MAX_SHARE` of the texts have (greetings)."""
    found_in = np.count_nonzero(counts, axis=0)
    inverse: Rows = np.log((1 + len(counts)) / (1 + found_in)).astype(np.float32)
    inverse[found_in > MAX_SHARE * len(counts)] = 0
    return inverse


def weigh(counts: Rows, inverse: Rows) -> Rows:
    """Unit rows of tf-idf weights; a row of no known bigram stays zero."""
    rows = np.zeros_like(counts)
    np.log(counts, out=rows, where=counts > 0)
    rows += counts > 0
    rows *= inverse
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, norms, out=rows, where=norms > 0)
    return rows


def _start(rows: Rows, num_topics: int, rng: np.random.Generator) -> Rows:
    """(num_topics, NUM_BUCKETS): k-means++, each next centre drawn by its distance 1 - cos to the nearest one."""
    chosen = [int(rng.integers(len(rows)))]
    distance = 1 - rows @ rows[chosen[0]]
    for _ in range(1, num_topics):
        weights = np.maximum(distance, 0).astype(np.float64)
        total = weights.sum()
        chosen.append(int(rng.choice(len(rows), p=weights / total) if total > 0 else rng.integers(len(rows))))
        distance = np.minimum(distance, 1 - rows @ rows[chosen[-1]])
    return rows[chosen].copy()


def spherical_kmeans(rows: Rows, num_topics: int, rng: np.random.Generator) -> Rows:
    """(num_topics, NUM_BUCKETS) unit centroids, the best of `RESTARTS` starts."""
    best, best_score = None, -np.inf
    for _ in range(RESTARTS):
        centroids = _start(rows, num_topics, rng)
        score = -np.inf
        for _ in range(ITERATIONS):
            cosines = rows @ centroids.T
            topic = cosines.argmax(axis=1)
            nearest = cosines[np.arange(len(rows)), topic]
            new_score = float(nearest.sum())
            if new_score <= score + 1e-4 * len(rows):
                break
            score = new_score
            for k in range(num_topics):
                members = rows[topic == k]
                # A topic without members starts again from the text that its own topic fits worst.
                total = members.sum(axis=0) if len(members) else rows[nearest.argmin()]
                norm = np.linalg.norm(total)
                if norm > 0:
                    centroids[k] = total / norm
        if score > best_score:
            best, best_score = centroids, score
    assert best is not None
    return best


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """`texts` in lists of `CHUNK`."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch


def assign_topics(texts: Iterable[str], centroids: Rows, inverse: Rows) -> npt.NDArray[np.int64]:
    """The nearest centroid of every text."""
    found = [(weigh(bigram_counts(batch), inverse) @ centroids.T).argmax(axis=1) for batch in chunks(texts)]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def name_topic(inside: Sequence[str], outside: Sequence[str], words: int = 5) -> str:
    """The bigrams that most set the texts `inside` apart, as a name for people."""

    def texts_with(texts: Sequence[str]) -> Counter[str]:
        return Counter(
            gram for text in texts for gram in {text[i : i + 2] for i in range(len(text) - 1)} if gram.isalpha()
        )

    here, there = texts_with(inside), texts_with(outside)
    lift = {gram: count / max(1, len(inside)) - there[gram] / max(1, len(outside)) for gram, count in here.items()}
    name: list[str] = []
    for gram in sorted(lift, key=lambda gram: (-lift[gram], gram)):
        # "电子" and "子发" are pieces of one word: the first says enough.
        if not any(gram[0] == other[-1] or gram[-1] == other[0] for other in name):
            name.append(gram)
        if len(name) == words:
            break
    return " ".join(name)
