"""The ledger: every byte that leaves a shop, to whom, of what kind, redacted how.

Entries carry no clock time, so that the same run writes the same ledger.
"""

from __future__ import annotations

import threading

from ecc_fed.core.records import EgressEntry


class MemoryLedger:
    """Collects entries until their shop's state is saved. Safe under threads."""

    def __init__(self) -> None:
        self._entries: list[EgressEntry] = []
        self._lock = threading.Lock()

    def record(self, entry: EgressEntry) -> None:
        """Appends one entry."""
        with self._lock:
            self._entries.append(entry)

    def entries(self, shop_id: str | None = None) -> list[EgressEntry]:
        """The entries of one shop, or of all, in the order of recording; they stay in the ledger."""
        with self._lock:
            return [entry for entry in self._entries if shop_id is None or entry.shop_id == shop_id]

    def drain(self, shop_id: str) -> list[EgressEntry]:
        """Takes the shop's entries out of the ledger, in the order of recording."""
        with self._lock:
            taken = [entry for entry in self._entries if entry.shop_id == shop_id]
            self._entries = [entry for entry in self._entries if entry.shop_id != shop_id]
        return taken
