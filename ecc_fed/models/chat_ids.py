"""A chat's text to token ids: those of `apply_chat_template`, but that what people wrote never becomes control.

A chat is a list of parts: at even places the template's own words, at odd ones what somebody wrote. All parts are
encoded as one text, as transformers does, since a piece may reach over the seam of two parts, and what stands at the
beginning of a text is encoded otherwise than what stands within it. Where somebody wrote a control token, a twin of
the tokenizer is asked, whose control tokens have other names: the template's are renamed, and what people wrote stays
as it is.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

# A fast tokenizer keeps "split special tokens" as state, so two threads must not encode at once.
_ENCODING = threading.Lock()
# Forms of control tokens that a tokenizer does not declare special, such as </think> and [TOOL_CALLS].
_MARKUP = re.compile(r"<.*>|\[.*\]|\{.*\}|.*\|.*", re.DOTALL)

_KNOWN: WeakKeyDictionary[Any, ControlTokens] = WeakKeyDictionary()


def _printed(name: str, template: str) -> bool:
    """Whether a token that is no word stands in the template."""
    return bool(name.strip()) and not name.strip().isalnum() and name in template


class ControlTokens:
    """The tokens of one tokenizer by which a chat is steered: special ones, markup, and what its template prints.

    Other added tokens, such as runs of blanks or words of a trade, are vocabulary like any other.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.template = template = str(tokenizer.chat_template or "")
        self._tokenizer = tokenizer
        self.ids: dict[str, int] = {
            str(token.content): int(index)
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.special or _MARKUP.fullmatch(token.content) or _printed(token.content, template)
        }
        # The longest first, as tokenizers match.
        names = sorted((name for name in self.ids if name), key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, names)) if names else r"(?!)")
        # An unknown character is no control.
        self._told = set(self.ids.values()) - {tokenizer.unk_token_id}
        self._twins: dict[str, Twin] = {}

    def encode(self, parts: Sequence[str]) -> list[int]:
        """Ids of a chat's parts."""
        text = "".join(parts)
        own = sum(len(self.pattern.findall(part)) for part in parts[::2])
        if len(self.pattern.findall(text)) == own and not any(map(self.pattern.search, parts[1::2])):
            ids = self._plain(text)
            # A normalizer may make a control token of what looks like none.
            if sum(index in self._told for index in ids) <= own:
                return ids
        return self._apart(parts) if self._backend is None else self._twin(text).encode(parts, self.pattern)

    @cached_property
    def _backend(self) -> Any:
        return getattr(self._tokenizer, "backend_tokenizer", None)

    def _plain(self, text: str) -> list[int]:
        with _ENCODING:
            return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False))

    def _apart(self, parts: Sequence[str]) -> list[int]:
        """Part by part, for a tokenizer in Python, which knows how to leave all its added tokens out."""
        ids: list[int] = []
        for place, part in enumerate(parts):
            if part:
                said = bool(place % 2)
                ids += self._tokenizer.encode(part, add_special_tokens=False, split_special_tokens=said)
        return ids

    def _twin(self, text: str) -> Twin:
        number, written = 0, unicodedata.normalize("NFKC", text).lower()
        while (stem := f"qzcontrol{number}x") in written:
            number += 1
        if stem not in self._twins:
            self._twins[stem] = Twin(self._backend, self.ids, stem)
        return self._twins[stem]


class Twin:
    """A tokenizer whose control tokens bear names that nobody wrote.

    Args:
        backend: the tokenizer of the library tokenizers.
        controls: name -> id of the tokens that are to be renamed.
        stem: how every new name begins; letters and digits, which no normalizer changes.
    """

    def __init__(self, backend: Any, controls: Mapping[str, int], stem: str) -> None:
        from tokenizers import Tokenizer

        self._new = {name: f"{stem}{index}x" for name, index in controls.items()}
        described = json.loads(backend.to_str())
        described["post_processor"] = None
        for token in described["added_tokens"]:
            token["content"] = self._new.get(token["content"], token["content"])
        model = described["model"]
        vocabulary = model.get("vocab")
        # Within the vocabulary too: some models find a whole piece by its name.
        if isinstance(vocabulary, dict):
            model["vocab"] = {self._new.get(piece, piece): index for piece, index in vocabulary.items()}
        elif isinstance(vocabulary, list):
            model["vocab"] = [[self._new.get(piece, piece), score] for piece, score in vocabulary]
        if "merges" in model:  # what makes a control token of letters
            model["merges"] = [pair for pair in model["merges"] if not _makes(pair, self._new)]
        if model.get("unk_token") in self._new:
            model["unk_token"] = self._new[model["unk_token"]]
        self._backend = Tokenizer.from_str(json.dumps(described))
        own = {name: self._backend.token_to_id(new) for name, new in self._new.items()}
        self._ids = {index: controls[name] for name, index in own.items() if index is not None}

    def encode(self, parts: Sequence[str], pattern: re.Pattern[str]) -> list[int]:
        """Ids of a chat's parts; control tokens that `pattern` finds in the template's are control, and no others."""
        text = "".join(
            part if place % 2 else pattern.sub(lambda found: self._new[found[0]], part)
            for place, part in enumerate(parts)
        )
        ids: Sequence[int] = self._backend.encode(text, add_special_tokens=False).ids
        return [self._ids.get(index, index) for index in ids]


def _makes(pair: str | list[str], names: Mapping[str, str]) -> bool:
    """Whether a merge needs or makes one of these pieces."""
    left, right = pair.split(" ", 1) if isinstance(pair, str) else pair
    return left in names or right in names or left + right in names


def control_tokens(tokenizer: Any) -> ControlTokens:
    """The tokenizer's control tokens, found once for each chat template that it is given."""
    known = _KNOWN.get(tokenizer)
    if known is None or known.template != str(tokenizer.chat_template or ""):
        known = _KNOWN[tokenizer] = ControlTokens(tokenizer)
    return known


def encode_parts(tokenizer: Any, parts: Sequence[str]) -> list[int]:
    """Ids of a chat's parts, without the marks that a tokenizer puts around a text by itself.

    Args:
        tokenizer: transformers' own.
        parts: at even places the template's words, in which control tokens count; at odd ones what people wrote.
    """
    return control_tokens(tokenizer).encode(parts)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Ids of what somebody wrote, by itself."""
    return encode_parts(tokenizer, ["", text]) if text else []
