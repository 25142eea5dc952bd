"""The language of a file's dialogues."""

from __future__ import annotations

import numpy as np

from ecc_fed.core.language import MIXED, language_of
from ecc_fed.corpus.store import SessionStore

_SESSIONS = 1000
_SEVERAL = (
    "The dialogues are in several languages, and no run takes them so: set corpus.language=CODE to have them taken as "
    "of one, or keep one language's dialogues in the file"
)


def told_language(sessions: SessionStore) -> str | None:
    """Told from some hundred sessions, spread evenly over the file: a file may change its language midway."""
    rows = np.unique(np.linspace(0, len(sessions) - 1, min(len(sessions), _SESSIONS)).round().astype(int))
    return language_of(sessions.text(int(row)) for row in rows)


def notes_on(language: str | None) -> tuple[str, ...]:
    """What the report says of it."""
    return (_SEVERAL,) if language == MIXED else ()
