"""Texts as redaction reads them: full-width, spelled-out, invisible and look-alike characters in one form.

| form | what it does |
|---|---|
| plain | NFKC, digits of all scripts as ASCII, white space as " ", what cannot be seen as `UNSEEN` |
| skeleton | of a plain text: letters and digits alone, capitals, Chinese numerals as digits, look-alikes as one |

A plain text is mostly as long as the text, and `offsets` tell what came from where; a skeleton is shorter. Places are
found in these forms and cut out of the text itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

UNSEEN = "\u200b"
# In the place of a character of a plain text that is taken already; in a skeleton nothing matches across it.
TAKEN = "\x00"
_BREAK = "\n"
CHINESE_DIGITS = dict(
    zip("零〇○一二三四五六七八九幺两壹贰叁肆伍陆柒捌玖貳參陸弍", "000123456789121234567892362", strict=True)
)
# Cyrillic, Greek and Latin letters that look like another, by the one that stands for all.
_ALIKE = dict(zip("АВЕЅІЈКМНОРСТУХΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABESIJKMHOPCTYXABEZHIKMNOPTYX", strict=True))
_AS_DIGIT = {"O": "0", "I": "1", "L": "1"}


class _Plain(dict[int, str]):
    """Made as characters are met: one entry for every character that ever was."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        if sign.isspace():
            plain = " "
        elif unicodedata.category(sign) in ("Cf", "Mn", "Me", "Cc"):
            plain = UNSEEN
        elif (digit := unicodedata.digit(sign, None)) is not None:
            plain = str(digit)
        else:
            plain = unicodedata.normalize("NFKC", sign)
        self[code] = plain
        return plain


class _Skeleton(dict[int, str]):
    """One character for one character; `TAKEN` for what is neither letter nor digit."""

    def __init__(self) -> None:
        super().__init__({ord(TAKEN): _BREAK})

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        capital = sign.upper()
        folded = _ALIKE.get(capital, capital)
        folded = CHINESE_DIGITS.get(sign, _AS_DIGIT.get(folded, folded))
        self[code] = folded if len(folded) == 1 and folded.isalnum() else sign if sign.isalnum() else TAKEN
        return self[code]


_PLAIN, _SKELETON = _Plain(), _Skeleton()


def plain_of(text: str) -> tuple[str, Sequence[int]]:
    """The plain form, and for each of its characters the place in `text` that it came from."""
    plain = text.translate(_PLAIN)
    if len(plain) == len(text):  # nothing is ever left out, so nothing was spelled out either
        return plain, range(len(text))
    offsets = [place for place, sign in enumerate(text) for _ in _PLAIN[ord(sign)]]
    return plain, offsets


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The skeleton of plain texts one behind the other, and where each letter stands: (text, place in it)."""

    text: str
    places: tuple[tuple[int, int], ...]


def skeleton_of(plains: Sequence[tuple[int, str]]) -> Skeleton:
    """The skeleton of (number, plain text)."""
    letters: list[str] = []
    places: list[tuple[int, int]] = []
    for number, plain in plains:
        for place, letter in enumerate(plain.translate(_SKELETON)):
            if letter != TAKEN:
                letters.append(letter)
                places.append((number, place))
    return Skeleton("".join(letters), tuple(places))


def bones(text: str) -> str:
    """The skeleton of one text, alone."""
    return plain_of(text)[0].translate(_SKELETON).replace(TAKEN, "")
