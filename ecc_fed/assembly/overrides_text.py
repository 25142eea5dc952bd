"""One text of overrides, as Flower's run config carries it, taken apart into single ones.

A command line gets this from its shell. Here blanks separate, but neither inside quotes nor inside brackets, which are
Hydra's and stay: `corpus.path='my data.jsonl' study.seeds=[0, 1]` is two overrides. One that stands in quotes as a
whole is written as for a shell, and loses them: `'corpus.path=my data.jsonl'`.
"""

from __future__ import annotations

from ecc_fed.core.errors import ConfigError

_QUOTES = "'\""
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


def split_overrides(text: str) -> list[str]:
    """The overrides in `text`, in its order.

    Raises:
        ConfigError: a quote or a bracket that is never closed.
    """
    found: list[str] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        end = _end(text, place)
        found.append(_unquoted(text[place:end]))
        place = end
    return found


def _end(text: str, start: int) -> int:
    """Where the override that begins at `start` ends."""
    open_brackets: list[int] = []
    place = start
    while place < len(text):
        sign = text[place]
        if sign.isspace() and not open_brackets:
            break
        if sign in _QUOTES:
            place = _closing(text, place)
        elif sign in _CLOSED_BY:
            open_brackets.append(place)
        elif open_brackets and sign == _CLOSED_BY[text[open_brackets[-1]]]:
            open_brackets.pop()
        place += 1
    if open_brackets:
        raise _never_closed(text, open_brackets[-1])
    return place


def _closing(text: str, start: int) -> int:
    """Where the quote that opens at `start` closes; a sign after a backslash closes nothing, as in Hydra."""
    place = start + 1
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] == text[start]:
            return place
        place += 1
    raise _never_closed(text, start)


def _unquoted(override: str) -> str:
    whole = override[0] in _QUOTES and _closing(override, 0) == len(override) - 1
    return override[1:-1] if whole else override


def _never_closed(text: str, place: int) -> ConfigError:
    return ConfigError(f"overrides: {text[place]} is opened and never closed, in {text[place:]!r}. Close it.")
