"""Sessions that are there twice: by number, by text, as the beginning of another one, or nearly.

    same_id         a session number that was seen before (a file joined twice)
    duplicate       the same turns as an earlier session, up to trailing turns that no agent answered
    part_of_other   the beginning of another session (a chat logged while it went on)
    near_duplicate  almost the same text as an earlier session: numbers and punctuation do not count

Near duplicates are found by MinHash (Broder 1997) with banding: of each session's set S of hashed 3-character
shingles keep min over S of h_k for k = 1..16; sessions that agree in the 4 values of one of 4 bands (at similarity J
with probability 1 - (1 - J^4)^4: 0.986 at J = 0.9) and in nearly as many of the 16 as the limit asks for are compared
by the true Jaccard similarity |S & T| / |S | T|.

Memory per session: 16 values of 4 bytes, two numbers of 8 bytes, and 8 bytes per reply.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ecc_fed.corpus.cleaning.shingles import hashed_shingles

SHINGLE = 3
BANDS, ROWS = 4, 4
_BATCH = 2000
REASONS = ("same_id", "duplicate", "part_of_other", "near_duplicate")

Signatures = npt.NDArray[np.uint32]
_SALTS, _FACTORS = (np.random.default_rng(0).integers(1, 1 << 32, (2, BANDS * ROWS), dtype=np.uint32) | 1).astype(
    np.uint32
)


def minhash(texts: list[str]) -> tuple[Signatures, npt.NDArray[np.bool_]]:
    """((texts, 16), (texts,)): signatures, and which texts are long enough to have one."""
    hashes, owner = hashed_shingles(texts, SHINGLE)
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    present = owner[starts]
    signatures = np.zeros((len(texts), BANDS * ROWS), dtype=np.uint32)
    if len(present):
        for k in range(BANDS * ROWS):
            signatures[present, k] = np.minimum.reduceat((hashes ^ _SALTS[k]) * _FACTORS[k], starts)
    has_one = np.zeros(len(texts), dtype=bool)
    has_one[present] = True
    return signatures, has_one


def jaccard(left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32]) -> float:
    """|left & right| / |left | right| of two sorted sets of shingles; 0 for two empty ones."""
    if not len(left):
        return 0.0
    places = np.minimum(np.searchsorted(left, right), len(left) - 1)
    shared = int(np.count_nonzero(left[places] == right))
    union = len(left) + len(right) - shared
    return shared / union


class DuplicateFinder:
    """Takes cleaned sessions in order, then says which to drop.

    `min_similarity`: Jaccard similarity from which sessions are near duplicates, in (0, 1]; None looks for none.
    """

    def __init__(self, min_similarity: float | None = 0.9) -> None:
        self._min_similarity = min_similarity
        self._ids = array("q")
        self._whole = array("q")
        self._beginnings = array("q")
        self._texts: list[str] = []
        self._signatures: list[Signatures] = []
        self._signed: list[npt.NDArray[np.bool_]] = []

    def add(self, session_id: str, agent_first: bool, texts: list[str]) -> None:
        """Notes a session, whose speakers take turns and which has an agent turn that answers a customer's.

        `hash` is salted by process, but only equality of hashes is ever asked.
        """
        self._ids.append(hash(session_id))
        state = hash(texts[0]) if agent_first else 0
        last = len(texts) - 2 - (len(texts) - agent_first) % 2  # the last customer turn that is answered
        for i in range(int(agent_first), last + 1, 2):
            state = hash((state, texts[i], texts[i + 1]))
            (self._beginnings if i < last else self._whole).append(state)
        if self._min_similarity is not None:
            self._texts.append("".join(texts))
            if len(self._texts) == _BATCH:
                self._sign()

    def _sign(self) -> None:
        if self._texts:
            signatures, signed = minhash(self._texts)
            self._signatures.append(signatures)
            self._signed.append(signed)
            self._texts = []

    def find(self, text_of: Callable[[int], str]) -> tuple[npt.NDArray[np.bool_], Counter[str]]:
        """(which sessions to keep, dropped by reason). `text_of(i)` gives the text of session i, a turn a line."""
        self._sign()
        ids, whole = np.array(self._ids), np.array(self._whole)
        keep = np.ones(len(ids), dtype=bool)
        dropped: Counter[str] = Counter()

        def drop(reason: str, which: npt.NDArray[np.bool_]) -> None:
            dropped[reason] += int(np.count_nonzero(which & keep))
            keep[which] = False

        drop("same_id", ~_first_of_each(ids))
        candidates = np.flatnonzero(keep)
        repeated = np.zeros(len(ids), dtype=bool)
        repeated[candidates] = ~_first_of_each(whole[candidates])
        drop("duplicate", repeated)
        drop("part_of_other", _among(whole, np.sort(np.array(self._beginnings))))
        if self._min_similarity is not None and len(ids):
            before = int(np.count_nonzero(keep))
            signatures, signed = np.concatenate(self._signatures), np.concatenate(self._signed)
            drop_near_duplicates(signatures, keep, signed, self._min_similarity, text_of)
            dropped["near_duplicate"] = before - int(np.count_nonzero(keep))
        return keep, +dropped


def _first_of_each(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    first = np.zeros(len(values), dtype=bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def _among(values: npt.NDArray[np.int64], ordered: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `values` occur in `ordered` (np.isin would build a slow hash table)."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    found: npt.NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found


def drop_near_duplicates(
    signatures: Signatures,
    keep: npt.NDArray[np.bool_],
    signed: npt.NDArray[np.bool_],
    min_similarity: float,
    text_of: Callable[[int], str],
) -> None:
    """Clears `keep` for every session that is a near duplicate of an earlier kept one.

    In a band, sessions of equal values are compared with the first of them and with up to three before them, and only
    where all 16 values agree nearly as often as `min_similarity` says (3 fewer: of pairs at 0.9, 1 in 60 is missed).
    """
    needed = max(ROWS, int(np.ceil(BANDS * ROWS * min_similarity)) - 3)
    earlier: list[npt.NDArray[np.int64]] = []
    later: list[npt.NDArray[np.int64]] = []
    rows = np.flatnonzero(keep & signed)
    for band in range(BANDS):
        part = signatures[rows, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        high, low = (part[:, 0] << np.uint64(32)) | part[:, 1], (part[:, 2] << np.uint64(32)) | part[:, 3]
        keys = high ^ (low * np.uint64(0x9E3779B97F4A7C15))
        order = np.argsort(keys, kind="stable")  # rows of equal keys stay in time order
        keys, members = keys[order], rows[order]
        is_first = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, dtype=bool)
        first = np.maximum.accumulate(np.where(is_first, np.arange(len(keys)), 0))
        place = np.arange(len(keys))
        for other in (first, place - 1, place - 2, place - 3):
            valid = (other >= first) & (other < place)
            left, right = members[other[valid]], members[valid]
            agree = np.zeros(len(left), dtype=np.int8)
            for k in range(BANDS * ROWS):
                agree += signatures[left, k] == signatures[right, k]
            earlier.append(left[agree >= needed])
            later.append(right[agree >= needed])

    pairs = np.unique(np.stack([np.concatenate(later), np.concatenate(earlier)], axis=1), axis=0)
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        sets = shingle_sets(np.unique(batch[keep[batch].all(axis=1)]), text_of)
        for right, left in batch.tolist():
            if keep[left] and keep[right]:
                keep[right] = jaccard(sets[left], sets[right]) < min_similarity


def shingle_sets(indices: npt.NDArray[np.int64], text_of: Callable[[int], str]) -> dict[int, npt.NDArray[np.uint32]]:
    """The sorted set of shingles of every session asked for."""
    found = indices.tolist()
    hashes, owner = hashed_shingles([text_of(i).replace("\n", "") for i in found], SHINGLE)
    tagged = np.sort(owner.astype(np.uint64) << np.uint64(32) | hashes)  # np.unique would build a slow hash table
    tagged = tagged[np.diff(tagged, prepend=tagged[:1] + np.uint64(1)) != 0]
    edges = np.searchsorted(tagged, np.arange(1, len(found), dtype=np.uint64) << np.uint64(32))
    return dict(zip(found, np.split(tagged.astype(np.uint32), edges), strict=bool(found)))
