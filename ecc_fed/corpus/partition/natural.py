"""The data's own shops."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Assignment, Session
from ecc_fed.corpus.partition.shops import check_sizes


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
    taken: set[str] = set()
    following: dict[str, int] = {}  # the first number that a name may be free with
    for name in names:
        base = re.sub(r"[^\w-]+", "_", name)[:60].strip("_") or "shop"
        folder, number = base, following.get(base, 2)
        while folder.casefold() in taken:
            folder, number = f"{base}-{number}", number + 1
        taken.add(folder.casefold())
        found[name], following[base] = folder, number
    return found
