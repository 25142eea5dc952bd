"""Surface forms: choices in brackets, slots in braces, and the slips of a hurried customer."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from random import Random

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"(\{[a-z_0-9]+\})")


@cache
def _parts(form: str) -> tuple[tuple[str, ...], ...]:
    """The alternatives of every piece of `form`: "[a|b]c" -> (("a", "b"), ("c",))."""
    pieces = _CHOICE.split(form)  # literal, choices, literal, choices, …
    return tuple(tuple(piece.split("|")) if i % 2 else (piece,) for i, piece in enumerate(pieces) if piece)


def expand(form: str) -> list[str]:
    """Every text a form can become, slots left open: "[a|b]{x}" -> ["a{x}", "b{x}"]."""
    return ["".join(choice) for choice in product(*_parts(form))]


def choose(form: str, rng: Random) -> str:
    """One text a form can become, slots left open."""
    return "".join(rng.choice(part) if len(part) > 1 else part[0] for part in _parts(form))


def slots_of(form: str) -> set[str]:
    """The names of a form's slots."""
    return {slot[1:-1] for slot in _SLOT.findall(form)}


def fill(form: str, slots: Mapping[str, str]) -> str:
    """`form` with its slots filled; slots must all be named in `slots`."""
    return _SLOT.sub(lambda match: slots[match[0][1:-1]], form)


def split_literals(form: str) -> list[str]:
    """The pieces of a form between its slots."""
    return [piece for piece in _SLOT.split(form) if piece and not piece.startswith("{")]


def misspell(form: str, typos: Mapping[str, Sequence[str]], rng: Random) -> str:
    """`form` with one slip in its wording; slots (names, numbers) stay intact.

    Half of the slips are the pack's own (homophones), where one of its words occurs; the others
    drop, double or swap a character. A form without three characters of wording stays as it is.
    """
    pieces = _SLOT.split(form)
    literal = max(range(0, len(pieces), 2), key=lambda i: len(pieces[i]))
    text = pieces[literal]
    if len(text) < 3:
        return form
    known = [word for word in typos if word in text]
    if known and rng.random() < 0.6:
        word = rng.choice(known)
        text = text.replace(word, rng.choice(typos[word]), 1)
    else:
        at = rng.randrange(len(text) - 1)
        slip = rng.randrange(3)
        if slip == 0:
            text = text[:at] + text[at + 1 :]
        elif slip == 1:
            text = text[:at] + text[at] + text[at:]
        else:
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    pieces[literal] = text
    return "".join(pieces)
