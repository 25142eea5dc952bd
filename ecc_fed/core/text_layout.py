"""Texts with places to fill: `{name}` is a place, `{{` and `}}` are braces.

Taken apart once, and filled by joining: what stands in a place is text, whatever it looks like, and is never read as a
layout itself. No `str.format`, whose places reach into attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.errors import ConfigError

_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")
_SHOWN = 40
_BRACES = "A brace that is meant as text is written twice: {{ or }}."


@dataclass(frozen=True, slots=True)
class TextLayout:
    """A text around its places: one piece more than there are names."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with each place's value in it, as it is."""
        parts = [self.pieces[0]]
        for name, after in zip(self.names, self.pieces[1:], strict=True):
            parts += [values[name], after]
        return "".join(parts)


def read_layout(text: str, setting: str, needed: Sequence[str] = (), known: Sequence[str] = ()) -> TextLayout:
    """The layout that `text` writes.

    Args:
        text: as a user wrote it.
        setting: where, for messages, such as "prompt.example".
        needed: places that it must have.
        known: further ones that it may have.

    Raises:
        ConfigError: a place that is not known, one that is needed and missing, or a single brace.
    """
    places = (*needed, *known)
    pieces, names, start = [""], list[str](), 0
    for found in _PIECE.finditer(text):
        pieces[-1] += text[start : found.start()]
        start = found.end()
        name = found["name"]
        if found[0] in ("{{", "}}"):
            pieces[-1] += found[0][0]
        elif name is None:
            raise ConfigError(f"{setting} has a single {found[0]} in {_around(text, found.start())!r}. {_BRACES}")
        elif name not in places:
            raise ConfigError(f"{setting} has an unknown placeholder {found[0]}: {_told(places)}. {_BRACES}")
        else:
            names.append(name)
            pieces.append("")
    pieces[-1] += text[start:]
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise ConfigError(f"{setting} has no placeholder {{{lacking[0]}}}, which it needs: {_told(places)}.")
    return TextLayout(tuple(pieces), tuple(names))


def _told(places: Sequence[str]) -> str:
    return f"there are {', '.join(f'{{{name}}}' for name in places)}" if places else "this text has none"


def _around(text: str, place: int) -> str:
    return text[max(0, place - _SHOWN // 2) : place + _SHOWN // 2]
