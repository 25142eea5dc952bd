"""What the names of a file's sessions say of their order."""

from __future__ import annotations

import re

_HASH = re.compile(r"[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# In fewer, order by time may look like order by name.
_LEAST = 8
BY_HASH = (
    "Split in the file's order, which is not that of time: the file is sorted by session numbers that are hashes. "
    "History, stream and test are draws of one kind."
)


class NameOrder:
    """Takes the sessions' names in order, and says whether they are hashes in sorted order."""

    def __init__(self) -> None:
        self._last = ""
        self._count = 0
        self._holds = True

    def add(self, name: str) -> None:
        """The next session's name."""
        if self._holds:
            self._holds = name >= self._last and _HASH.fullmatch(name) is not None
            self._last = name
            self._count += 1

    @property
    def by_hash(self) -> bool:
        """True if all names are hashes and stand in their order: then the file's order is a draw."""
        return self._holds and self._count >= _LEAST
