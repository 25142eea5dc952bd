"""The two redactors: by patterns alone, and by the device's own order record first.

A call makes a session with a map of its own; nothing is remembered from one dialogue to the next. Reading is linear in
the text's length.
"""

from __future__ import annotations

from collections.abc import Sequence

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
        find_emails(draft)
        self._known(draft, known)
        for find in (find_accounts, find_split, find_numbers, find_addresses, find_names, find_again):
            find(draft)
        return session_of(draft, known, self._language)

    def _known(self, draft: Draft, known: OrderRecord | None) -> None:
        """Nothing."""


class OrderRecordRedaction(PatternRedaction):
    """Finds what the order record holds, then goes on by patterns: for others' values, and where there is no record."""

    name = "order_record"

    def _known(self, draft: Draft, known: OrderRecord | None) -> None:
        if known is not None:
            find_known(draft, known)
