"""Text from outside (a cloud, a corpus, a model, a run of somebody else's), made fit to be shown.

It is text: no command to a terminal, no reordering of what stands around it, no page of it in an error.
"""

from __future__ import annotations

import re

MOST_CHARACTERS = 1000
# C0 but for the line end, DEL, C1; what turns or separates lines in Unicode; what stands for half a character.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""`text` with every control character shown as its escape, such as \u001b; line ends stay.

    The escapes are JSON's, so that JSON text stays JSON of the same value.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cut(text: str, most: int = MOST_CHARACTERS) -> str:
    """`text`, or its beginning and end with the number of characters between them, where it is longer than `most`."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
