"""The two redactors that need no package: by patterns alone, and by the device's own order record first.

A call makes a session with a map of its own; nothing is remembered from one dialogue to the next. Reading is linear in
the text's length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ecc_fed.core.ranges import require_one_of
from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.privacy.redaction.accounts import find_accounts, find_emails
from ecc_fed.privacy.redaction.addresses import find_addresses
from ecc_fed.privacy.redaction.draft import Draft
from ecc_fed.privacy.redaction.known import find_again, find_known
from ecc_fed.privacy.redaction.names import find_names
from ecc_fed.privacy.redaction.numbers import find_numbers
from ecc_fed.privacy.redaction.placeholders import LABELS, Language, typed
from ecc_fed.privacy.redaction.session import PlaceholderSession, session_of
from ecc_fed.privacy.redaction.split import find_split

Finder = Callable[[Draft], None]
# In this order: what is longer or surer takes its letters first. E-mail addresses come before all of them.
BY_SHAPE: tuple[Finder, ...] = (find_accounts, find_split, find_numbers, find_addresses, find_names)


def by_record(known: OrderRecord | None) -> tuple[Finder, ...]:
    """What finds an order record's values; nothing where there is none."""
    return () if known is None else (partial(find_known, record=known),)


class PatternRedaction:
    """Finds values by checksums, cue words and shapes. The order record is not looked at for what leaves.

    Args:
        language: zh or en, of the placeholders; both languages' patterns are always read.

    Raises:
        ConfigError: another language.
    """

    name = "patterns"

    def __init__(self, language: Language = "zh") -> None:
        require_one_of("redaction.language", language, tuple(LABELS))
        self._language: Language = language

    def redact(self, turns: Sequence[Turn], known: OrderRecord | None) -> PlaceholderSession:
        """Turns with placeholders; what `known` holds beside them is kept from other customers' replies."""
        draft = Draft(turns)
        draft.take(typed(draft, self._language))
        for find in (*self._finders(known), find_again):
            find(draft)
        return session_of(draft, known, self._language)

    def _finders(self, known: OrderRecord | None) -> tuple[Finder, ...]:
        """All but the last, in the order in which they read."""
        return (find_emails, *BY_SHAPE)


class OrderRecordRedaction(PatternRedaction):
    """Finds what the order record holds, then goes on by patterns: for others' values, and where there is no record."""

    name = "order_record"

    def _finders(self, known: OrderRecord | None) -> tuple[Finder, ...]:
        return (find_emails, *by_record(known), *BY_SHAPE)
