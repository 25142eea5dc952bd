"""Finds what is known: the values of an order record, however they are written.

A value is sought in the skeleton of all that one side has said, so that full-width, spaced, spelled-out and look-alike
forms are found, and those split over turns. Of an address a part will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ecc_fed.core.records import OrderRecord
from ecc_fed.privacy.redaction.draft import Draft, Found, Place
from ecc_fed.privacy.redaction.folding import TAKEN, Skeleton, bones, plain_of

# Letters of an address in a row that are taken for a part of it.
_PART = 4
# Digits in a row that are the number, whatever letters stand around or between them.
_DIGITS = 7
# What may part the letters of a name: "高，明天" is no Mr Gao Ming.
_WITHIN_NAMES = set(" ·•・.-_*~/'’\u200b")
_JOINED = 3


def find_known(draft: Draft, record: OrderRecord) -> None:
    """Takes every mention of the record's values, longer ones first: a name may stand within an address."""
    values = sorted(record.values(), key=lambda each: -len(each[1]))
    for kind, value in values:
        for side in draft.speakers():
            if kind == "address":
                draft.take(_parts_of_address(draft, side, value))
            else:
                forms = _forms(kind, value)
                draft.take(Found(kind, places, value) for form in forms for places in mentions(draft.plain, side, form))
    for kind, value in values:
        digits = _digits(value)
        if kind not in ("name", "address") and len(digits) >= _DIGITS:
            for side in draft.speakers():
                draft.take(_scattered(draft, side, kind, value, digits))


def find_again(draft: Draft) -> None:
    """Takes the other mentions of names that something announced once: "我叫王伟", and then "王伟您好"."""
    said = [draft.said(each.places[0]) for each in draft.found if each.kind == "name" and not each.value]
    # One letter, as of "我姓王", is a part of many words.
    names = {bones(name): name for name in reversed(said) if len(bones(name)) > 1}
    draft.take([found for side in draft.speakers() for found in _again(draft, side, names)])


def _again(draft: Draft, side: Skeleton, names: Mapping[str, str]) -> Iterator[Found]:
    """One pass for each length that a name has: as many as there are names would be too many."""
    for size in sorted({len(letters) for letters in names}, reverse=True):
        for at in range(len(side.text) - size + 1):
            name = names.get(side.text[at : at + size])
            if name is not None and _fits(draft.plain, places := _places(side, at, at + size), form_of("name", name)):
                yield Found("name", places, name)


@dataclass(frozen=True, slots=True)
class Form:
    """A value as it is sought: its skeleton, and what it must look like where it stands.

    `words` counts those of a value in an alphabet, 0 in any other script; `turned` is a family name before the others.
    """

    bones: str
    name: bool = False
    words: int = 0
    turned: bool = False


def form_of(kind: str, value: str) -> Form:
    """How a value is sought."""
    plain = plain_of(value)[0]
    alphabet = kind in ("name", "address") and all(sign < "\u0590" for sign in plain)
    return Form(bones(value), kind == "name", len(plain.split()) if alphabet else 0)


def _forms(kind: str, value: str) -> list[Form]:
    form = form_of(kind, value)
    if form.words > 1:  # the family name may come first
        return [form, Form(bones("".join(reversed(value.split()))), form.name, form.words, turned=True)]
    return [form]


def mentions(plains: Sequence[str], side: Skeleton, form: Form) -> Iterator[tuple[Place, ...]]:
    """Where `form` stands in what one side said; `plains` are all turns."""
    size, at = len(form.bones), side.text.find(form.bones) if len(form.bones) > 1 else -1
    while at >= 0:
        places = _places(side, at, at + size)
        fits = _fits(plains, places, form)
        if fits:
            yield places
        at = side.text.find(form.bones, at + (size if fits else 1))


def _places(side: Skeleton, start: int, stop: int) -> tuple[Place, ...]:
    """The letters' places, one for each turn."""
    spans: dict[int, tuple[int, int]] = {}
    for turn, place in side.places[start:stop]:
        first, _ = spans.get(turn, (place, place))
        spans[turn] = first, place + 1
    return tuple(Place(turn, *span) for turn, span in spans.items())


def _fits(plains: Sequence[str], places: Sequence[Place], form: Form) -> bool:
    said = [plains[place.turn][place.start : place.stop] for place in places]
    within = _WITHIN_NAMES | {","} if form.words > 1 else _WITHIN_NAMES  # "Smith, John"
    if form.name and not all(sign.isalnum() or sign in within for part in said for sign in part):
        return False
    if not form.words:
        return True
    first, last = places[0], places[-1]
    around = plains[first.turn][max(0, first.start - 1) : first.start] + plains[last.turn][last.stop : last.stop + 1]
    if any(map(str.isalpha, around)):
        return False
    # "May" is a name, "may" is none; nor is "price may" Ms May Price.
    return not (form.name and said[0].islower()) or (form.words > 1 and not form.turned)


def _digits(value: str) -> str:
    return "".join(sign for sign in plain_of(value)[0] if sign in "0123456789")


def _scattered(draft: Draft, side: Skeleton, kind: str, value: str, digits: str) -> Iterator[Found]:
    """A number whose digits stand in their order, with words between them or without the letters before them."""
    real = [(turn, place) for turn, place in side.places if draft.plain[turn][place] in "0123456789"]
    text = "".join(draft.plain[turn][place] for turn, place in real)
    at = text.find(digits)
    while at >= 0:
        places: list[Place] = []
        for turn, place in real[at : at + len(digits)]:
            last = places[-1] if places else None
            if last is not None and last.turn == turn and _is_gap(draft.plain[turn][last.stop : place]):
                places[-1] = Place(turn, last.start, place + 1)
            else:
                places.append(Place(turn, place, place + 1))
        yield Found(kind, tuple(places), value)
        at = text.find(digits, at + len(digits))


def _is_gap(text: str) -> bool:
    return not any(sign == TAKEN or sign.isalnum() for sign in text)


def _parts_of_address(draft: Draft, side: Skeleton, address: str) -> Iterator[Found]:
    """Runs of letters that the address has in the same order, with no more than a few others in between."""
    covered = bytearray(len(side.text))
    form = form_of("address", address)
    for part in _grams(address, form):
        at = side.text.find(part)
        while at >= 0:
            if not form.words or _fits(draft.plain, _places(side, at, at + len(part)), form):
                covered[at : at + len(part)] = b"\x01" * len(part)
            at = side.text.find(part, at + 1)
    runs: list[tuple[int, int]] = []
    start = covered.find(1)
    while start >= 0:
        stop = covered.find(0, start)
        stop = len(covered) if stop < 0 else stop
        if runs and _near(draft, side, runs[-1][1] - 1, start):
            start = runs.pop()[0]
        runs.append((start, stop))
        start = covered.find(1, stop)
    for start, stop in runs:
        yield Found("address", _places(side, start, stop), address)


def _near(draft: Draft, side: Skeleton, before: int, after: int) -> bool:
    (turn, place), (next_turn, next_place) = side.places[before], side.places[after]
    return turn == next_turn and next_place - place <= _JOINED + 1 and TAKEN not in draft.plain[turn][place:next_place]


def _grams(address: str, form: Form) -> set[str]:
    """Pieces by which an address is known: letters in a row, words in an alphabet two by two."""
    if form.words:
        words = [bones(word) for word in address.split()]
        pairs = {a + b for a, b in pairwise(words)}
        return {form.bones, *(pair for pair in pairs if len(pair) >= _PART)}
    if len(form.bones) <= _PART:
        return {form.bones} - {""}
    rows = {form.bones[at : at + _PART] for at in range(len(form.bones) - _PART + 1)}
    return {row for row in rows if not row.isdecimal()}
