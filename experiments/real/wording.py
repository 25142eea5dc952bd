"""What replies of a small model are like, told from their letters alone: loops, broken characters, variety."""

from __future__ import annotations

import re
from collections.abc import Sequence

BROKEN = "\N{REPLACEMENT CHARACTER}"
# One to thirty characters said four times or more in a row.
_LOOP = re.compile(r"(.{1,30}?)\1{3,}", re.DOTALL)
_FEWEST_LOOPED = 8
# A character of a script without spaces, or a word of any other.
_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+")
_LETTER = re.compile(r"[^\W_]")


def loops(reply: str) -> bool:
    """Whether a piece of at most thirty characters stands there four times in a row or more.

    Eight characters of it at least, and a letter or digit among them: "哈哈哈哈" and "......" are no loops.
    """
    return any(
        len(found.group()) >= _FEWEST_LOOPED and _LETTER.search(found.group(1)) for found in _LOOP.finditer(reply)
    )


def broken(reply: str) -> int:
    """How many characters of a reply are U+FFFD: bytes that made no character."""
    return reply.count(BROKEN)


def units(text: str) -> list[str]:
    """The text's characters, of scripts that leave no spaces, or words in small letters."""
    return _UNIT.findall(text.lower())


def distinct(replies: Sequence[str], order: int) -> float | None:
    """Distinct-n (Li et al. 2016): of all n-grams of the replies the share that are different ones.

    It falls with the number of n-grams, so only as many replies about as long can be compared.

    Args:
        replies: of one model.
        order: n, at least 1, in characters or words (`units`).

    Returns:
        Above 0, at most 1; None where no reply is long enough.
    """
    grams = [
        tuple(said[start : start + order])
        for said in map(units, replies)
        for start in range(len(said) - order + 1)
    ]  # fmt: skip
    return len(set(grams)) / len(grams) if grams else None
