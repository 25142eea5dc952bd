"""Finds numbers nobody told of: by their checksums and shapes, by cue words, and any with seven digits or more.

Digits may be spaced, spelled in Chinese numerals or look-alikes. What is written with separators must look like a
telephone, a card or the like: "2024-05-12" and "160 165 170" pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ecc_fed.privacy.redaction.checksums import is_id_card, passes_luhn
from ecc_fed.privacy.redaction.cues import cue_before
from ecc_fed.privacy.redaction.draft import Draft, Found, Place
from ecc_fed.privacy.redaction.folding import CHINESE_DIGITS, bones

LEAST = 7
_HAN = "".join(CHINESE_DIGITS)
_SEPARATORS = r" \u200b\-–—−.·•_/()*~、,"
RUN = re.compile(rf"[0-9{_HAN}](?:[{_SEPARATORS}]{{0,5}}[0-9{_HAN}])*")
_GROUP = re.compile(rf"[0-9]+|[{_HAN}]+")
_CODE = re.compile(
    rf"(?<![A-Za-z0-9])[A-Za-z0-9\u0370-\u04ff{_HAN}]{{7,}}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])(?:[A-Za-z0-9][ \u200b]{1,2}){6,}[A-Za-z0-9](?![A-Za-z0-9])"
)
_ID_END = re.compile(rf"[{_SEPARATORS}]{{0,5}}[Xx](?![A-Za-z])")
_WORD_BEFORE = re.compile(r"[A-Za-z]{5,}[0-9]+\Z")
_MOBILE = re.compile(r"(?:(?:00)?86)?1[3-9][0-9]{9}\Z")
_LANDLINE = re.compile(r"(?:0[0-9]{9,11}|[48]00[0-9]{7})\Z")
_SPELLED = str.maketrans(CHINESE_DIGITS)


def find_numbers(draft: Draft) -> None:
    """Takes codes of letters and digits first, then runs of digits, then what a cue makes a code."""
    for find in (_codes, _runs, _cued):
        draft.take([found for turn, plain in enumerate(draft.plain) for found in find(turn, plain)])


def is_mobile(digits: str) -> bool:
    """Whether these are a Chinese mobile's, with or without the country's."""
    return _MOBILE.match(digits) is not None


def digits_of(text: str) -> str:
    """The digits of a plain text, spelled ones too."""
    return "".join(sign for sign in text.translate(_SPELLED) if sign in "0123456789")


def _codes(turn: int, plain: str) -> Iterator[Found]:
    """Letters and digits in one word: parcels, orders, and numbers typed with an O for a zero."""
    for match in _CODE.finditer(plain):
        # "SF1234567890123一直没动": the words 一 and 两 behind a number are none of it.
        word = match[0][:-1] if match[0][-1] in "一两" and match[0][-2].isascii() else match[0]
        spelled = word.translate(_SPELLED)
        count = sum(sign in "0123456789" for sign in spelled)
        if count < 3 or not any(sign.isalpha() for sign in spelled) or _WORD_BEFORE.match(word):
            continue
        folded = bones(word)
        if folded.isdecimal() and folded.isascii():
            kind = whole_kind(folded, (len(folded),), False, cue_before(plain, match.start())) or "number"
        elif is_id_card(code := "".join(filter(str.isalnum, spelled))):
            kind = "id_card"
        elif count >= LEAST or (count >= 5 and word.isupper()):
            kind = cue_before(plain, match.start()) or ("parcel" if code[:2].isalpha() else "number")
        else:
            continue
        yield Found(kind, (Place(turn, match.start(), match.start() + len(word)),))


def _runs(turn: int, plain: str) -> Iterator[Found]:
    for match in RUN.finditer(plain):
        if match.end() - match.start() < LEAST:
            continue
        groups = _trimmed(list(_GROUP.finditer(plain, *match.span())))
        start, stop = groups[0].start(), groups[-1].end()
        digits = digits_of(plain[start:stop])
        if len(digits) < LEAST:
            continue
        sizes = tuple(len(group[0]) for group in groups)
        cue = cue_before(plain, start)
        end = _ID_END.match(plain, stop)
        if end is not None and is_id_card(digits + "X"):
            yield Found("id_card", (Place(turn, start, end.end()),))
        elif kind := whole_kind(digits, sizes, sum(sizes) < stop - start, cue, plain[max(0, start - 1) : start]):
            yield Found(kind, (Place(turn, start, stop),))
        else:
            for group in groups:
                part = group[0].translate(_SPELLED)
                if len(part) >= LEAST:
                    kind = whole_kind(part, (len(part),), False, cue_before(plain, group.start())) or "number"
                    yield Found(kind, (Place(turn, *group.span()),))


def _trimmed(groups: list[re.Match[str]]) -> list[re.Match[str]]:
    """Without the words 一 and 两 at the ends of a number in digits: "13800001111一直打不通"."""
    if sum(len(group[0]) for group in groups if group[0].isascii()) >= LEAST:
        for end in (-1, 0):
            while not groups[end][0].isascii() and len(groups[end][0]) <= 2:
                groups.pop(end)
    return groups


def whole_kind(digits: str, sizes: Sequence[int], parted: bool, cue: str | None, before: str = "") -> str | None:
    """What a number is, its groups of `sizes` taken together; None where those are no one number.

    Args:
        digits: seven or more.
        sizes: digits in a row.
        parted: separators stand between them.
        cue: what a word before it says.
        before: the sign before it.
    """
    if is_mobile(digits):
        return "phone" if cue is None else cue
    if is_id_card(digits):
        return "id_card"
    if not parted:
        return cue or ("phone" if _LANDLINE.match(digits) else "bank_card" if passes_luhn(digits) else "number")
    if _is_date(digits, sizes):
        return None
    if _LANDLINE.match(digits) or tuple(sizes[-3:]) == (3, 3, 4) or (before == "+" and len(sizes) <= 6):
        return "phone"
    if len(sizes) > 2 and passes_luhn(digits) and max(sizes) <= 6:
        return "bank_card"
    if any(size >= LEAST for size in sizes):
        return None
    if all(size == 1 for size in sizes) or (len(digits) >= 10 and max(sizes) >= 4):
        return cue or "number"
    return cue if max(sizes) >= 3 and len(sizes) <= 5 and len(digits) >= 9 else None


def _is_date(digits: str, sizes: Sequence[int]) -> bool:
    """A year, a month and a day, perhaps with a time."""
    return digits[:2] in ("19", "20") and sizes[0] == 4 and len(sizes) > 2 and all(size <= 2 for size in sizes[1:])


# Words that a number's own code follows, and, in group 1, those that other numbers follow as well.
_CODE_WORDS = (
    "订单编号|订单号码?|快递单号|运单号码?|物流单号|单号|"
    r"(?:order|tracking|parcel|reference|invoice) ?(?:number|no\.?|id|code|ref|#)|(订单|运单|order|parcel|tracking)"
)
_CUED = re.compile(
    rf"(?:{_CODE_WORDS})[ :：#是为]{{0,3}}(?:is )?#?(?=[A-Za-z-]{{0,9}}[0-9])"
    r"(?!(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9])([A-Za-z0-9][A-Za-z0-9-]{3,24})",
    re.IGNORECASE,
)


def _cued(turn: int, plain: str) -> Iterator[Found]:
    """Short codes behind a word that says what they are: three digits, or five behind "order" alone."""
    for match in _CUED.finditer(plain):
        if sum(sign in "0123456789" for sign in match[2]) >= (5 if match[1] else 3):
            yield Found(cue_before(plain, match.start(2)) or "order", (Place(turn, *match.span(2)),))
