"""Finds numbers that one side has split over its turns: "我电话138", then "0000 1111".

Only what a mobile, an identity card or a card must look like, or what a cue announces, is put together: prices of three
turns are no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecc_fed.privacy.redaction.checksums import is_id_card, passes_luhn
from ecc_fed.privacy.redaction.cues import cue_before
from ecc_fed.privacy.redaction.draft import Draft, Found, Place
from ecc_fed.privacy.redaction.numbers import LEAST, RUN, digits_of, is_mobile

# Characters between a run and the end of its turn.
_GAP = 2
_MOST_PIECES = 11
# One number in ten passes the card's check by chance, so whole ones are not put together.
_CARD_PIECE = 8


@dataclass(frozen=True, slots=True)
class _Piece:
    place: Place
    digits: str
    first: bool
    last: bool


def find_split(draft: Draft) -> None:
    """Takes numbers whose pieces end one turn and begin the same side's next."""
    for role in dict.fromkeys(turn.role for turn in draft.turns):
        chain: list[_Piece] = []
        for turn, plain in enumerate(draft.plain):
            if draft.turns[turn].role != role:
                continue
            pieces = _pieces(turn, plain)
            if chain and pieces and pieces[0].first:
                chain.append(pieces[0])
                if len(pieces) == 1 and pieces[0].last:
                    continue
            _take_chain(draft, chain)
            chain = pieces[-1:] if pieces and pieces[-1].last else []
        _take_chain(draft, chain)


def _pieces(turn: int, plain: str) -> list[_Piece]:
    spans = [match.span() for match in RUN.finditer(plain)]
    if not spans:
        return []
    chosen = [spans[0], spans[-1]] if len(spans) > 1 else spans
    return [
        _Piece(
            Place(turn, start, stop), digits_of(plain[start:stop]), start <= _GAP, len(plain.rstrip()) - stop <= _GAP
        )
        for start, stop in chosen
    ]


def _take_chain(draft: Draft, chain: Sequence[_Piece]) -> None:
    for at in range(len(chain) - 1):  # what is taken already is taken only once
        for stop in range(min(len(chain), at + _MOST_PIECES), at + 1, -1):
            pieces = chain[at:stop]
            if kind := _kind(draft, pieces):
                places = [piece.place for piece in pieces]
                value = "".join(piece.digits for piece in pieces)
                if kind == "id_card" and len(value) == 17:
                    places[-1] = replace(places[-1], stop=places[-1].stop + 1)
                    value += "X"
                draft.take([Found(kind, tuple(places), value)])
                break


def _kind(draft: Draft, pieces: Sequence[_Piece]) -> str | None:
    """What the pieces make together; None where each may stand for itself."""
    sizes = [len(piece.digits) for piece in pieces]
    if min(sizes) < 2:
        return None
    digits, last = "".join(piece.digits for piece in pieces), pieces[-1].place
    cue = cue_before(draft.plain[pieces[0].place.turn], pieces[0].place.start)
    if is_mobile(digits):
        return cue or "phone"
    behind = draft.plain[last.turn][last.stop : last.stop + 1]
    if is_id_card(digits) or (behind in ("X", "x") and is_id_card(digits + "X")):
        return "id_card"
    if len(digits) >= 16 and max(sizes) <= _CARD_PIECE and passes_luhn(digits):
        return cue or "bank_card"
    # One that is long enough alone goes on in no other turn.
    return cue if max(sizes) < LEAST <= len(digits) and min(sizes) > 2 else None
