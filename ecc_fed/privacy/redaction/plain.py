"""No redaction: the hook that lets everything pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.records import Hidden, OrderRecord, Restored, Turn


@dataclass(frozen=True, slots=True)
class PlainSession:
    """Turns as they were: there is nothing to restore."""

    turns: tuple[Turn, ...]
    hidden: tuple[Hidden, ...] = ()

    def restore(self, text: str) -> Restored:
        """`text` itself."""
        return Restored(text)

    def masked(self) -> tuple[Turn, ...]:
        """The turns as they are."""
        return self.turns


class NoRedaction:
    """Lets every turn leave as it is. The ledger says `redaction: none` for it."""

    name = "none"

    def redact(self, turns: Sequence[Turn], known: OrderRecord | None) -> PlainSession:
        """The same turns; `known` is not looked at."""
        return PlainSession(tuple(turns))
