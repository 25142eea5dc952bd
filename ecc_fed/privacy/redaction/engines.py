"""What all engines of others share: order record first, then the engine, then our patterns where they are asked for.

An engine says where values lie, and of which class; from there on its redaction is that of `redactors`: placeholders,
the map, masks. One that finds nothing is `order_record`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from ecc_fed.core.ranges import require, require_number, require_one_of
from ecc_fed.core.records import OrderRecord
from ecc_fed.privacy.redaction.accounts import find_emails
from ecc_fed.privacy.redaction.draft import Draft, Found, Place
from ecc_fed.privacy.redaction.folding import TAKEN
from ecc_fed.privacy.redaction.placeholders import LABELS, Language
from ecc_fed.privacy.redaction.redactors import BY_SHAPE, Finder, PatternRedaction, by_record


class EngineRedaction(PatternRedaction, ABC):
    """Finds what the order record holds, then what the engine does.

    Args:
        language: zh or en, of the placeholders.
        patterns: our own patterns read what the engine left.
        min_score: of the engine's findings those below are left alone, 0 to 1.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(self, language: Language, patterns: bool, min_score: float) -> None:
        super().__init__(language)
        check_engine(patterns, min_score)
        self._patterns, self._min_score = patterns, min_score

    @abstractmethod
    def _places(self, draft: Draft, turn: int) -> Sequence[tuple[str, Place]]:
        """(class, place) of what the engine finds in one turn, those first that come first where two overlap."""

    def _engine(self, draft: Draft) -> None:
        """Takes what the engine finds in every turn, without what is taken already and blanks at the ends."""
        found: list[Found] = []
        for turn, plain in enumerate(draft.plain):
            for kind, place in self._places(draft, turn):
                found += [Found(kind, (part,)) for part in _parts(plain, place)]
        draft.take(found)

    def _finders(self, known: OrderRecord | None) -> tuple[Finder, ...]:
        if not self._patterns:
            return (*by_record(known), self._engine)
        return (find_emails, *by_record(known), self._engine, *BY_SHAPE)


def _parts(plain: str, place: Place) -> Iterator[Place]:
    """What of a place is not taken yet; none without a letter or digit."""
    start = place.start
    for part in plain[place.start : place.stop].split(TAKEN):
        if any(map(str.isalnum, part)):
            first = start + len(part) - len(part.lstrip())
            yield Place(place.turn, first, first + len(part.strip()))
        start += len(part) + 1


def check_engine(patterns: object, min_score: object) -> None:
    """Passes what every engine can be set to.

    Raises:
        ConfigError: a value out of range.
    """
    require(isinstance(patterns, bool), "redaction.patterns", patterns, "true or false")
    require_number("redaction.min_score", min_score, 0, 1)


def check_class(setting: str, kind: object) -> None:
    """Passes a class that a value can have.

    Raises:
        ConfigError: another word.
    """
    require_one_of(setting, kind, tuple(sorted(set(LABELS["zh"]) - {"typed"})))
