"""Turns under redaction: what was found so far, and what is still to be read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction.folding import TAKEN, Skeleton, plain_of, skeleton_of


@dataclass(frozen=True, slots=True)
class Place:
    """`plain[start:stop]` of one turn."""

    turn: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Found:
    """One mention of a value: its places, several where it is split over turns.

    `value` is the value itself where the places do not show it in one piece.
    """

    kind: str
    places: tuple[Place, ...]
    value: str = ""


class Draft:
    """Finders read `plain` and hand what they found to `take`, which blanks it: what is taken is never read again."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = tuple(turns)
        self.found: list[Found] = []
        read = [plain_of(turn.text) for turn in self.turns]
        self.plain = [plain for plain, _ in read]
        self._offsets = [offsets for _, offsets in read]
        self._speakers: list[Skeleton] | None = None

    def take(self, found: Iterable[Found]) -> None:
        """Keeps what was found, the first of those that overlap."""
        taken: dict[int, list[str]] = {}
        for each in found:
            letters = [taken.get(place.turn) for place in each.places]
            if any(
                TAKEN in (self.plain[p.turn] if of is None else of)[p.start : p.stop]
                for p, of in zip(each.places, letters, strict=True)
            ):
                continue
            for place in each.places:
                signs = taken.setdefault(place.turn, [])
                if not signs:
                    signs.extend(self.plain[place.turn])
                signs[place.start : place.stop] = TAKEN * (place.stop - place.start)
            self.found.append(each)
        for turn, signs in taken.items():
            self.plain[turn] = "".join(signs)
            self._speakers = None

    def in_text(self, place: Place) -> tuple[int, int]:
        """Where a place lies in the turn's own text."""
        offsets = self._offsets[place.turn]
        return offsets[place.start], offsets[place.stop - 1] + 1

    def place_of(self, turn: int, start: int, stop: int) -> Place:
        """Where `text[start:stop]` of a turn's own text lies in its plain form."""
        offsets = self._offsets[turn]
        return Place(turn, bisect_left(offsets, start), bisect_left(offsets, stop))

    def left(self, turn: int) -> str:
        """A turn's own text, as long as it was, with blanks where something is taken."""
        offsets, signs = self._offsets[turn], list(self.turns[turn].text)
        at = self.plain[turn].find(TAKEN)
        while at >= 0:
            signs[offsets[at]] = " "
            at = self.plain[turn].find(TAKEN, at + 1)
        return "".join(signs)

    def said(self, place: Place) -> str:
        """The turn's own text there."""
        start, stop = self.in_text(place)
        return self.turns[place.turn].text[start:stop]

    def speakers(self) -> list[Skeleton]:
        """What each side has said, all its turns one behind the other: values may be split over them."""
        if self._speakers is None:
            roles = dict.fromkeys(turn.role for turn in self.turns)
            self._speakers = [
                skeleton_of([(n, plain) for n, plain in enumerate(self.plain) if self.turns[n].role == role])
                for role in roles
            ]
        return self._speakers
