"""From generated token ids to a reply's text: whole characters only.

A model may draw bytes that form no character, and a reply may be cut in the middle of one. A tokenizer shows such
bytes as U+FFFD, and one with byte fallback takes the whole characters beside them along. Nobody should read either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ecc_fed.end_model.text.prompting import turn_of
from ecc_fed.models.blanks import without_blanks
from ecc_fed.models.chat_ids import control_tokens

_BROKEN = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_LONGEST = 4  # bytes of one character in UTF-8


def byte_of(token: object) -> int | None:
    """The byte that a token of a vocabulary with byte fallback stands for; None for any other token."""
    match = _BYTE.fullmatch(str(token))
    return None if match is None else int(match[1], 16)


def decode_reply(tokenizer: Any, ids: Sequence[int], more: bool = False) -> str:
    """The text of generated ids without special tokens, bytes that form no character, and the tokenizer's blanks.

    Where a template opens an agent's turn by control tokens (a channel, the end of thoughts), what stands before them
    is not said. `more`: further ids will follow, so that what stands there may yet be such.
    """
    text: str = tokenizer.decode(
        _whole_characters(tokenizer, _opened(tokenizer, list(ids), more)),
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    # A tokenizer whose pieces are bytes throughout (byte-level BPE) has no tokens to leave out.
    return without_blanks(tokenizer, text.replace(_BROKEN, "")).strip()


def _opened(tokenizer: Any, ids: list[int], more: bool) -> list[int]:
    """The ids behind the last control token that opens a turn; all of them where none does, or none came."""
    controls = control_tokens(tokenizer)
    marks = controls.pattern.findall(turn_of(tokenizer).opening)
    if not marks:
        return ids
    last = controls.ids[marks[-1]]
    if last in ids:
        return ids[len(ids) - ids[::-1].index(last) :]
    return [] if more else ids


def _whole_characters(tokenizer: Any, ids: list[int]) -> list[int]:
    """The ids without fallback bytes that belong to no character."""
    bytes_ = [byte_of(token) for token in tokenizer.convert_ids_to_tokens(ids)]
    kept: list[int] = []
    for is_text, run in groupby(zip(ids, bytes_, strict=True), key=lambda item: item[1] is None):
        items = list(run)
        places = range(len(items)) if is_text else _valid(bytes(byte for _, byte in items if byte is not None))
        kept += [items[place][0] for place in places]
    return kept


def _valid(run: bytes) -> list[int]:
    """Places of the bytes that form characters in UTF-8."""
    places: list[int] = []
    start = 0
    while start < len(run):
        length = next((n for n in range(1, _LONGEST + 1) if _is_character(run[start : start + n])), 0)
        places += range(start, start + length)
        start += length or 1
    return places


def _is_character(part: bytes) -> bool:
    try:
        return len(part.decode()) == 1
    except UnicodeDecodeError:
        return False
