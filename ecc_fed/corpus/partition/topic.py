"""Shops of skewed topics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Assignment, Session
from ecc_fed.core.seeding import derive_rng
from ecc_fed.corpus.partition import topics
from ecc_fed.corpus.partition.shops import check_alpha, check_sizes, numbered_shops
from ecc_fed.corpus.partition.skew import deal, draw_shares, fill_up

_PLACEHOLDER = re.compile(r"\[[^\[\]\n]*\]")


@dataclass(frozen=True)
class TopicPartition:
    """Topics found by clustering, each topic's sessions over the shops ~ Dir(dirichlet_alpha) (Hsu et al. 2019).

    dirichlet_alpha: > 0; at 0.1 a shop has one or two topics, at 100 all shops have the same mix
    num_topics:      >= 2, at most the number of sessions
    sample_sessions: sessions on which topics are fitted; all are assigned to the nearest
    """

    dirichlet_alpha: float = 0.5
    num_topics: int = 16
    min_sessions: int = 5
    sample_sessions: int = 10_000

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`."""
        check_alpha(self.dirichlet_alpha)
        check_sizes(len(sessions), num_shops, self.min_sessions)
        if not 2 <= self.num_topics <= self.sample_sessions:
            raise CorpusError(
                f"partition.num_topics is {self.num_topics}; set it from 2 to partition.sample_sessions "
                f"({self.sample_sessions})."
            )
        if self.num_topics > len(sessions):
            raise CorpusError(
                f"partition.num_topics={self.num_topics} is more than the corpus has dialogues ({len(sessions)}). "
                "Ask for fewer topics."
            )
        topic, names = self._topics(sessions, seed)
        rng = derive_rng(seed, "topic_partition")
        owners = np.empty(len(sessions), dtype=np.int64)
        for k in range(self.num_topics):
            members = np.flatnonzero(topic == k)
            owners[members] = deal(len(members), draw_shares(num_shops, self.dirichlet_alpha, rng), rng)
        moved = fill_up(owners, num_shops, self.min_sessions, rng)
        sizes = np.bincount(topic, minlength=self.num_topics)
        notes = tuple(f"topic {k}: {sizes[k]} sessions ({name})" for k, name in enumerate(names))
        found = numbered_shops(owners, num_shops, notes, moved)
        descriptions = {}
        for shop, shop_id in enumerate(found.descriptions):
            mix = np.bincount(topic[owners == shop], minlength=self.num_topics)
            descriptions[shop_id] = ", ".join(
                f"{100 * mix[k] / mix.sum():.0f}% {names[k]}" for k in np.argsort(-mix, kind="stable")[:3] if mix[k]
            )
        return replace(found, descriptions=descriptions)

    def _topics(self, sessions: Sequence[Session], seed: int) -> tuple[npt.NDArray[np.int64], list[str]]:
        """(topic of every session, name of every topic)."""
        rng = derive_rng(seed, "topics")
        size = min(len(sessions), self.sample_sessions)
        sample = [_text(sessions[int(i)]) for i in np.sort(rng.choice(len(sessions), size, replace=False))]
        counts = np.concatenate([topics.bigram_counts(batch) for batch in topics.chunks(sample)])
        inverse = topics.inverse_frequency(counts)
        rows = topics.weigh(counts, inverse)
        centroids = topics.spherical_kmeans(rows, self.num_topics, rng)
        found = (rows @ centroids.T).argmax(axis=1)
        names = [
            topics.name_topic(
                [sample[i] for i in np.flatnonzero(found == k)[:300]],
                [sample[i] for i in np.flatnonzero(found != k)[:1000]],
            )
            for k in range(self.num_topics)
        ]
        return topics.assign_topics((_text(session) for session in sessions), centroids, inverse), names


def _text(session: Session) -> str:
    """What the session is about: its words, without placeholders, which every topic has."""
    return _PLACEHOLDER.sub(" ", "\n".join([turn.text for turn in session.turns]))
