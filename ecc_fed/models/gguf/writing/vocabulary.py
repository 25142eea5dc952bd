"""A tokenizer in the words of a GGUF file: its pieces, what each of them is, and how texts are cut into them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecc_fed.models.gguf.writing.refusing import inexpressible
from ecc_fed.models.gguf.writing.sentence_pieces import sentence_pieces
from ecc_fed.models.gguf.writing.splits import split_rule

# llama.cpp's kinds of tokens.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a file says of a tokenizer.

    Attributes:
        kind: "gpt2": pieces of bytes, merged as listed. "llama": pieces of characters, merged by scores.
        rule: how texts are split before merging, as llama.cpp names it.
        tokens: by id, one for each row of the embedding.
        types: what each of them is.
        merges: of "gpt2", the best first.
        scores: of "llama", by id.
        space_prefix: of "llama": whether a blank comes before a text, and before what follows a control token.
        ids: of special tokens, by their names in the file.
        adds: whether bos or eos comes around a text, by their names in the file.
    """

    kind: str
    rule: str
    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str] | None
    scores: Sequence[float] | None
    space_prefix: bool | None
    ids: Mapping[str, int]
    adds: Mapping[str, bool]


def vocabulary_of(tokenizer: Any, rows: int, path: str) -> Vocabulary:
    """What a file says of this tokenizer.

    Args:
        tokenizer: transformers'.
        rows: of the model's embedding; there may be more than tokens.
        path: the model's; for messages.

    Raises:
        ModelError: its texts would become other ids by what a file can say; tells why.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # One in Python has no parts to look at.
    spec: dict[str, Any] = {"model": {"type": type(tokenizer).__name__}}
    if backend is not None:
        spec = json.loads(backend.to_str())
    model: dict[str, Any] = spec["model"]
    if model["type"] != "BPE" or model["dropout"] or model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        raise inexpressible(path, f"its tokenizer ({model['type']}) is none of plain byte pair encoding")
    for token in spec["added_tokens"]:
        if token["lstrip"] or token["rstrip"] or token["single_word"]:
            raise inexpressible(path, f"its token {token['content']!r} takes blanks beside it, or is no part of a word")
    tokens = _tokens(tokenizer, rows)
    types = _types(tokenizer, tokens, model["byte_fallback"])
    merges = [_pair(merge) for merge in model["merges"]]
    ids, adds = _special_ids(tokenizer), _adds(tokenizer, path)
    if not model["byte_fallback"]:
        joined = [" ".join(pair) for pair in merges]
        return Vocabulary("gpt2", split_rule(spec, path), tokens, types, joined, None, None, ids, adds)
    added = {int(token["id"]) for token in spec["added_tokens"]}
    pieces = sentence_pieces(spec, tokens, merges, added, path)
    return Vocabulary("llama", "default", pieces.tokens, types, None, pieces.scores, pieces.space_prefix, ids, adds)


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return str(left), str(right)


def _tokens(tokenizer: Any, rows: int) -> list[str]:
    """By id; rows without a token get a name that no token has."""
    found = {int(index): piece for piece, index in tokenizer.get_vocab().items()}
    taken = set(found.values())
    tokens = []
    for index in range(rows):
        name = found.get(index, f"[PAD{index}]")
        while index not in found and name in taken:
            name = f"[{name}]"
        tokens.append(name)
    return tokens


def _types(tokenizer: Any, tokens: Sequence[str], byte_fallback: bool) -> list[int]:
    known = set(tokenizer.get_vocab().values())
    types = [NORMAL if index in known else UNUSED for index in range(len(tokens))]
    if byte_fallback:
        names = {f"<0x{byte:02X}>" for byte in range(256)}
        types = [BYTE if name in names else kind for name, kind in zip(tokens, types, strict=True)]
    for index, token in tokenizer.added_tokens_decoder.items():
        types[index] = CONTROL if token.special else USER_DEFINED
    if byte_fallback and tokenizer.unk_token_id is not None:
        types[tokenizer.unk_token_id] = UNKNOWN
    return types


def _special_ids(tokenizer: Any) -> dict[str, int]:
    named = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    found = {name: getattr(tokenizer, f"{attribute}_id") for name, attribute in named.items()}
    return {name: int(index) for name, index in found.items() if index is not None}


def _adds(tokenizer: Any, path: str) -> dict[str, bool]:
    """What the tokenizer puts around a text, seen on one."""
    bare, whole = (tokenizer.encode("a", add_special_tokens=around) for around in (False, True))
    for bos in (False, True):
        for eos in (False, True):
            before, after = [tokenizer.bos_token_id] * bos, [tokenizer.eos_token_id] * eos
            if whole == [*before, *bare, *after]:
                return {"bos": bos, "eos": eos}
    raise inexpressible(path, "its tokenizer puts more around a text than its bos and eos token")
