"""Which session belongs to which shop: by the data's own shops, by topic, by quantity, or at random.

A partition is any object with `assign` (the Protocol `Partition`); a user's own is a class and a YAML file.
Every shop gets at least `min_sessions` sessions (`skew.fill_up`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Session
from ecc_fed.core.seeding import derive_rng
from ecc_fed.corpus.partition import topics
from ecc_fed.corpus.partition.skew import Owners, deal, draw_shares, fill_up

_PLACEHOLDER = re.compile(r"\[[^\[\]\n]*\]")


@dataclass(frozen=True)
class Assignment:
    """`shop_of[i]` owns session i, None leaves it out; `descriptions` by shop; `notes` for the report."""

    shop_of: Sequence[str | None]
    descriptions: dict[str, str]
    notes: tuple[str, ...] = ()


class Partition(Protocol):
    """Gives sessions to shops."""

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """One entry for every session; exactly `num_shops` different shops.

        Raises:
            CorpusError: too few sessions for the shops asked for.
        """
        ...


def check_sizes(num_sessions: int, num_shops: int, min_sessions: int) -> None:
    """Raises CorpusError where the sessions cannot give every shop its minimum."""
    if num_shops < 1:
        raise CorpusError(f"corpus.num_shops is {num_shops}; set it to 1 or more.")
    if min_sessions < 1:
        raise CorpusError(f"partition.min_sessions is {min_sessions}; set it to 1 or more.")
    if num_shops > num_sessions:
        raise CorpusError(
            f"corpus.num_shops={num_shops} is more than the corpus has dialogues ({num_sessions}). Ask for fewer shops."
        )
    if num_shops * min_sessions > num_sessions:
        raise CorpusError(
            f"{num_sessions} dialogues are too few for corpus.num_shops={num_shops} shops of "
            f"partition.min_sessions={min_sessions} or more. Ask for at most {max(1, num_sessions // min_sessions)} "
            "shops, or lower partition.min_sessions."
        )


def check_alpha(dirichlet_alpha: float) -> None:
    """Raises CorpusError unless dirichlet_alpha > 0 and finite."""
    if not (0 < dirichlet_alpha < float("inf")):
        raise CorpusError(
            f"partition.dirichlet_alpha is {dirichlet_alpha}; set it above 0 (0.1: very skewed, 100: nearly even)."
        )


def _numbered(owners: Owners, num_shops: int, notes: tuple[str, ...] = (), moved: int = 0) -> Assignment:
    width = max(3, len(str(num_shops - 1)))
    names = [f"shop-{i:0{width}d}" for i in range(num_shops)]
    if moved:
        notes = (*notes, f"{moved} sessions moved so that every shop has its minimum")
    return Assignment([names[owner] for owner in owners.tolist()], dict.fromkeys(names, ""), notes)


@dataclass(frozen=True)
class IidPartition:
    """Equal shares at random. min_sessions: sessions a shop has at least, >= 1."""

    min_sessions: int = 5

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`."""
        check_sizes(len(sessions), num_shops, self.min_sessions)
        rng = derive_rng(seed, "iid_partition")
        return _numbered(deal(len(sessions), np.full(num_shops, 1 / num_shops), rng), num_shops)


@dataclass(frozen=True)
class QuantityPartition:
    """Sessions at random, the shops' sizes ~ Dir(dirichlet_alpha). dirichlet_alpha > 0; small is skewed."""

    dirichlet_alpha: float = 0.5
    min_sessions: int = 5

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`."""
        check_alpha(self.dirichlet_alpha)
        check_sizes(len(sessions), num_shops, self.min_sessions)
        rng = derive_rng(seed, "quantity_partition")
        owners = deal(len(sessions), draw_shares(num_shops, self.dirichlet_alpha, rng), rng)
        return _numbered(owners, num_shops, moved=fill_up(owners, num_shops, self.min_sessions, rng))


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
        found = _numbered(owners, num_shops, notes, moved)
        for shop, shop_id in enumerate(found.descriptions):
            mix = np.bincount(topic[owners == shop], minlength=self.num_topics)
            found.descriptions[shop_id] = ", ".join(
                f"{100 * mix[k] / mix.sum():.0f}% {names[k]}" for k in np.argsort(-mix, kind="stable")[:3] if mix[k]
            )
        return found

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


@dataclass(frozen=True)
class NaturalPartition:
    """The data's own shops: the `num_shops` that have most sessions; the others are left out and said so.

    Shop names become folder names, so signs other than letters, digits, - and _ are replaced.
    """

    min_sessions: int = 5

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        """See `Partition`. The seed has nothing to decide here."""
        check_sizes(len(sessions), num_shops, self.min_sessions)
        own = [session.shop_id for session in sessions]
        sizes = Counter(name for name in own if name is not None)
        nameless = len(own) - sum(sizes.values())
        if not sizes:
            raise CorpusError(
                "partition=natural needs a shop on every dialogue, and this corpus names none. "
                "Use partition=topic, quantity or iid."
            )
        large = [name for name, size in sizes.items() if size >= self.min_sessions]
        if len(large) < num_shops:
            raise CorpusError(
                f"corpus.num_shops={num_shops}, but only {len(large)} of the corpus's {len(sizes)} shops have "
                f"partition.min_sessions={self.min_sessions} dialogues or more. Ask for fewer shops or lower "
                "partition.min_sessions."
            )
        chosen = sorted(sorted(large, key=lambda name: (-sizes[name], name))[:num_shops])
        ids = _folder_names(chosen)
        notes = []
        if len(sizes) > num_shops:
            rest = sum(sizes.values()) - sum(sizes[name] for name in chosen)
            notes.append(f"{len(sizes) - num_shops} smaller shops with {rest} sessions left out")
        if nameless:
            notes.append(f"{nameless} sessions name no shop and are left out")
        return Assignment(
            [ids.get(name) if name is not None else None for name in own],
            {ids[name]: name for name in chosen},
            tuple(notes),
        )


def _folder_names(names: Sequence[str]) -> dict[str, str]:
    """A distinct folder name for every shop name."""
    found: dict[str, str] = {}
    for name in names:
        base = re.sub(r"[^\w-]+", "_", name)[:60].strip("_") or "shop"
        folder, number = base, 2
        while folder.casefold() in {taken.casefold() for taken in found.values()}:
            folder, number = f"{base}-{number}", number + 1
        found[name] = folder
    return found
