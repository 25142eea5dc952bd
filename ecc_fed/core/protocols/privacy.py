"""What stands between a shop and everybody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecc_fed.core.records import EgressEntry, Hidden, OrderRecord, Restored, Turn


class RedactedSession(Protocol):
    """Redacted turns with the map that undoes it; the map never leaves the device.

    `hidden` are the values that it is made of, and whatever else of this customer no other may be told.
    """

    turns: tuple[Turn, ...]
    hidden: tuple[Hidden, ...]

    def restore(self, text: str) -> Restored:
        """Puts the customer's own values back into a reply."""
        ...

    def masked(self) -> tuple[Turn, ...]:
        """The turns with nothing but classes in the values' places, as a model may learn from them."""
        ...


class Redactor(Protocol):
    """Takes private values out of turns before they leave a shop.

    A class may have a static method `check_settings`, called with the settings of its YAML before a run starts: it
    raises what its making would raise later, on every host.
    """

    name: str

    def redact(self, turns: Sequence[Turn], known: OrderRecord | None) -> RedactedSession:
        """Redacted turns; `known` is the order record of whoever speaks, None where the shop has none."""
        ...


class Ledger(Protocol):
    """Where every byte that leaves a shop is written down."""

    def record(self, entry: EgressEntry) -> None:
        """Appends one entry."""
        ...
