"""Byte pair encoding over characters, as SentencePiece has it, in the words of a GGUF file: pieces and scores.

llama.cpp merges the two neighbours whose joint piece has the best score, the library tokenizers those whose merge is
listed first. They are the same where every way to cut a piece in two is a merge, the merges to one piece stand
together, and its score falls with their place; that is checked here, piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ecc_fed.models.gguf.writing.refusing import inexpressible

# SentencePiece's blank.
_BLANK = "\u2581"
_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}
# A pattern that matches single characters only, whatever is around them: classes, one beside another.
_SINGLE = re.compile(r"\[[^\[\]]+\](?:\|\[[^\[\]]+\])*")


@dataclass(frozen=True, slots=True)
class Pieces:
    """By id; and whether a blank comes before a text and before what follows a control token."""

    tokens: Sequence[str]
    scores: Sequence[float]
    space_prefix: bool


def sentence_pieces(
    spec: Mapping[str, Any],
    tokens: Sequence[str],
    merges: Sequence[tuple[str, str]],
    added: Set[int],
    path: str,
) -> Pieces:
    """Pieces and scores by which llama.cpp cuts texts as this tokenizer does.

    Where a tokenizer keeps blanks as they are, its piece of a blank is written as SentencePiece's, which llama.cpp
    reads as a blank; the sign U+2581 itself, if anybody types it, becomes one too.

    Args:
        spec: the tokenizer, as the library tokenizers writes it.
        tokens: by id.
        merges: the best first.
        added: ids of tokens that are looked for before a text is cut.
        path: the model's; for messages.

    Raises:
        ModelError: llama.cpp would cut some text otherwise.
    """
    if lacking := _BYTES.difference(tokens):
        raise inexpressible(path, f"its tokenizer falls back to bytes and has no {min(lacking)}")
    if spec["model"]["ignore_merges"]:
        raise inexpressible(path, "its tokenizer takes whole pieces before their merges")
    blanks, prefix = _blanks(spec["normalizer"], path)
    plain = {piece for index, piece in enumerate(tokens) if index not in added and piece not in _BYTES}
    _check_splitter(spec["pre_tokenizer"], plain, path)
    places = _places(merges, path)
    _check_all_cuts(plain, places, merges, path)
    if not blanks:
        if any(_BLANK in piece for piece in tokens):
            raise inexpressible(path, f"its tokenizer has a piece for {_BLANK} beside one for a blank")
        tokens = [piece.replace(" ", _BLANK) if piece in plain else piece for piece in tokens]
        places = {piece.replace(" ", _BLANK): place for piece, place in places.items()}
    return Pieces(tokens, [-float(places.get(piece, 0)) for piece in tokens], prefix)


def _blanks(normalizer: Mapping[str, Any] | None, path: str) -> tuple[bool, bool]:
    """Whether blanks become SentencePiece's, and whether one is put before every text."""
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _BLANK}
    if not steps:
        return False, False
    if steps == [replace]:
        return True, False
    if steps == [{"type": "Prepend", "prepend": _BLANK}, replace]:
        return True, True
    raise inexpressible(path, f"its tokenizer normalizes texts ({normalizer and normalizer['type']})")


def _check_splitter(splitter: Mapping[str, Any] | None, plain: Set[str], path: str) -> None:
    """Nothing is split off that merges could have joined, as llama.cpp does not split."""
    if splitter is None:
        return
    pattern = splitter.get("pattern", {})
    if splitter["type"] == "Split" and pattern == {"String": " "}:
        if not any(" " in piece and len(piece) > 1 for piece in plain):
            return
    elif splitter["type"] == "Split" and splitter["behavior"] == "Isolated" and not splitter["invert"]:
        from tokenizers import Regex, pre_tokenizers

        regex = str(pattern.get("Regex", ""))
        cut = pre_tokenizers.Split(Regex(regex), "isolated") if _SINGLE.fullmatch(regex) else None
        if cut is not None and all(len(piece) == 1 or len(cut.pre_tokenize_str(piece)) == 1 for piece in plain):
            return
    raise inexpressible(path, f"its tokenizer splits texts ({splitter['type']}) in a way that llama.cpp would not")


def _places(merges: Sequence[tuple[str, str]], path: str) -> dict[str, int]:
    """The piece that each merge makes -> its place among them, from 1, the best first."""
    order = [piece for piece, _ in groupby(merges, key="".join)]
    places = {piece: place for place, piece in enumerate(order, 1)}
    if len(places) < len(order):
        twice = next(piece for place, piece in enumerate(order, 1) if places[piece] != place)
        raise inexpressible(path, f"the merges to its piece {twice!r} do not stand together")
    return places


def _check_all_cuts(plain: Set[str], places: Mapping[str, int], merges: Sequence[tuple[str, str]], path: str) -> None:
    """Every two neighbours that make a piece are a merge."""
    listed = set(merges)
    for piece in sorted(plain):
        for cut in range(1, len(piece)):
            both = piece[:cut], piece[cut:]
            # A single character is there to be merged whether it is a piece or not.
            if all(len(each) == 1 or each in plain for each in both) and both not in listed:
                raise inexpressible(path, f"its piece {piece!r} is not merged from {both[0]!r} and {both[1]!r}")
