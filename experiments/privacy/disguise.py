"""The ways in which customers write a number or a name: as it is, full-width, spaced, in numerals, over two turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

_HAN_DIGITS = "零一二三四五六七八九"


def full_width(value: str) -> str:
    """ASCII in its full-width form."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in value)


def spaced(value: str) -> str:
    """A space after every sign."""
    return " ".join(value)


def spelled(value: str) -> str:
    """Digits in Chinese numerals."""
    return "".join(_HAN_DIGITS[int(sign)] if "0" <= sign <= "9" else sign for sign in value)


FORMS: Mapping[str, Callable[[str], str]] = {
    "as it is": lambda value: value,
    "full-width": full_width,
    "spaced": spaced,
    "Chinese numerals": spelled,
}
SPLIT = "split over two turns"


def disguised(text: str, values: Iterable[str], form: str) -> str:
    """`text` with its values written in one of `FORMS`."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, FORMS[form](value))
    return text


def halves(text: str, values: Iterable[str]) -> tuple[str, ...]:
    """The turn in two, parted in the middle of the first value that it holds; a turn without one stays whole."""
    for value in values:
        at = text.find(value)
        if at >= 0 and len(value) > 1:
            middle = at + len(value) // 2
            return text[:middle], text[middle:]
    return (text,)
