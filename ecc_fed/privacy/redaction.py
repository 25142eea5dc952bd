"""Redaction: the hook that every turn passes before it leaves a shop.

A redactor satisfies `core.protocols.Redactor`; the gateway calls it for the query's turns and for
every few-shot example, and writes its `name` into the ledger beside the bytes it let through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.records import OrderRecord, Turn


@dataclass(frozen=True, slots=True)
class PlainSession:
    """Turns as they were: there is nothing to restore."""

    turns: tuple[Turn, ...]

    def restore(self, text: str) -> str:
        """`text` itself."""
        return text


class NoRedaction:
    """Lets every turn leave as it is. The ledger says `redaction: none` for it."""

    name = "none"

    def redact(self, turns: Sequence[Turn], known: OrderRecord | None) -> PlainSession:
        """The same turns; `known` is not looked at."""
        return PlainSession(tuple(turns))
