"""What shops asked of the cloud in their last work: work that is done again pays for nothing twice.

    shops/<shop_id>/open_calls.jsonl

A line before an attempt leaves for a remote teacher, and a line for every attempt that ended. Work that is done
again under the same tag takes its attempts from here, in their order, and sends only what has no end here. What
was asked under another tag is never answered from here (its round failed for good): it is paid for, no more.

The file outlives the saving of its work, which is done again if a shop beside it was cut; the shop's next work, or
the end of the run, removes it.

Nothing is synced: a killed process loses nothing that it handed to the system. A last line that it left torn is cut.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecc_fed.core.completion import Completion
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import append_unsynced, read_rows
from ecc_fed.core.run_directory import cut_torn_tail
from ecc_fed.teacher.gateway.budget import Spending, total

# Of a shop's folder.
OPEN_CALLS = "open_calls.jsonl"


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt. Without a `completion` it is about to be sent: `spent` is what it may use at most, `entries` what
    the ledger says of it should nothing more be heard of it.
    """

    tag: str
    key: str
    attempt: int
    spent: Spending
    entries: tuple[EgressEntry, ...]
    completion: Completion | None = None


@dataclass
class _OpenShop:
    """`paid` are all attempts so far; `ended`, by key, those that no call has taken yet."""

    path: Path
    tag: str
    paid: list[Spending]
    ended: dict[str, deque[AttemptLine]] = field(default_factory=dict)


class CallJournal:
    """The open calls of a host's shops. Safe under threads. Shops that never began keep none."""

    def __init__(self) -> None:
        self._shops: dict[str, _OpenShop] = {}
        self._lock = threading.Lock()

    def begin(self, shop_id: str, path: Path, tag: str) -> list[EgressEntry]:
        """Work of the name `tag` begins, or begins again; what a former process left in `path` counts.

        Returns:
            What belongs into the shop's ledger though no call will ask for it: attempts under other tags,
            and those of which nothing more was heard, with the outcome "interrupted".

        Raises:
            RunDirectoryError: the file is broken, or cannot be written.
        """
        cut_torn_tail(path)
        kept = counted(read_attempts(path))
        shop = _OpenShop(path, tag, [line.spent for line in kept])
        for line in kept:
            if line.tag == tag and line.completion is not None:
                shop.ended.setdefault(line.key, deque()).append(line)
        with self._lock:
            self._shops[shop_id] = shop
        return [entry for line in kept if line.tag != tag or line.completion is None for entry in line.entries]

    def tag(self, shop_id: str) -> str:
        """What the shop's work is called; empty where none began."""
        with self._lock:
            shop = self._shops.get(shop_id)
            return "" if shop is None else shop.tag

    def take(self, shop_id: str, key: str) -> list[Completion]:
        """The attempts, in their order, of the shop's next call with this key; none where it has to be sent."""
        with self._lock:
            shop = self._shops.get(shop_id)
            waiting = shop.ended.get(key) if shop is not None else None
            taken: list[Completion] = []
            # A later call with the same key counts its attempts from 1 again.
            while waiting and (waiting[0].attempt > 1 or not taken):
                completion = waiting.popleft().completion
                assert completion is not None, "only ended attempts wait"
                taken.append(completion)
            return taken

    def write(self, shop_id: str, lines: Sequence[AttemptLine]) -> None:
        """Adds attempts of a shop that began; nothing for others.

        Raises:
            WriteError: the file cannot be written.
        """
        with self._lock:
            shop = self._shops.get(shop_id)
            if shop is None:
                return
            shop.paid += [line.spent for line in lines if line.completion is not None]
            append_unsynced(shop.path, lines)

    def finish(self, shop_id: str) -> tuple[Spending, list[EgressEntry]]:
        """The work has ended; the file stays, as it may be done again.

        Returns:
            All that it has spent, former processes included, and the entries of attempts that nobody took.
        """
        with self._lock:
            shop = self._shops.pop(shop_id)
            return total(shop.paid), [
                entry for lines in shop.ended.values() for line in lines for entry in line.entries
            ]

    def discard(self, shop_id: str) -> None:
        """What was asked lies safe elsewhere, and the work will not be done again."""
        with self._lock:
            self._shops.pop(shop_id).path.unlink(missing_ok=True)


def read_attempts(path: Path) -> list[AttemptLine]:
    """The lines of a journal, if there is one, but for a last one that is torn.

    Raises:
        RunDirectoryError: the file is broken.
    """
    return read_rows(path, AttemptLine, torn_tail=True) if path.exists() else []


def counted(lines: Iterable[AttemptLine]) -> list[AttemptLine]:
    """One line for every attempt: those that ended, and of those sent the ones without an end."""
    lines = list(lines)
    ends = Counter((line.tag, line.key, line.attempt) for line in lines if line.completion is not None)
    kept = []
    for line in lines:
        place = (line.tag, line.key, line.attempt)
        if line.completion is None and ends[place] > 0:
            ends[place] -= 1
        else:
            kept.append(line)
    return kept


def spending(lines: Iterable[AttemptLine]) -> Spending:
    """What `counted` lines stand for."""
    return total([line.spent for line in lines])
