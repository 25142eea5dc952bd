"""Spans of a text by a token classifier: windows over its tokens, probabilities, and from labels to spans.

| step | how |
|---|---|
| tokens | the whole text once, by a fast tokenizer, whose offsets tell every token's place in it |
| windows | `window` tokens each; of the `overlap` that two share, each has the half that lies deeper in it |
| classes | of a token: the sum of its labels' probabilities, so that B and I of one class do not compete |
| words | in an alphabet a word's tokens all have the class of its first, as such models are trained |
| spans | tokens of one class in a row; a B or S label begins a new one, an E or S label ends it |
| score | the mean over a span's tokens of its class's probability |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.models.opening import open_model
from ecc_fed.privacy.redaction.labels import Tag

ROLE = "redaction model"


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:stop]` is of a class, by a score of 0 to 1."""

    kind: str
    start: int
    stop: int
    score: float


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `start` to `stop`, of which `first` to `last` count."""

    start: int
    stop: int
    first: int
    last: int


def windows(tokens: int, size: int, overlap: int) -> Iterator[Window]:
    """Windows over a text's tokens: every token counts in exactly one."""
    start = first = 0
    while True:
        stop = min(start + size, tokens)
        last = tokens if stop == tokens else stop - overlap // 2
        yield Window(start, stop, first, last)
        if stop == tokens:
            return
        start, first = stop - overlap, last


class TokenClassifier:
    """A model with its tokenizer.

    Args:
        path: the model's folder.
        tags: what its labels say, in the order of its outputs.
        window: tokens that are read at once.
        overlap: tokens that two windows share.
        batch: windows in one forward pass.

    Raises:
        ConfigError: a window that the model cannot read.
        ModelError: the folder has no whole model of this kind, or its tokenizer tells no places.
    """

    def __init__(self, path: str, tags: Sequence[Tag], window: int, overlap: int, batch: int) -> None:
        from transformers import AutoModelForTokenClassification

        cpu = torch.device("cpu")
        self._opened = open_model(path, AutoModelForTokenClassification, ROLE, cpu, dtype=torch.float32)
        self._opened.require_weights()
        self._tokenizer, self._model = self._opened.tokenizer, self._opened.model
        if not self._tokenizer.is_fast:
            raise self._opened.refusal(
                "has a slow tokenizer, which does not tell where its tokens stand",
                "save it with a tokenizer.json, or take another model",
            )
        positions = getattr(self._model.config, "max_position_embeddings", None) or window
        most = min(self._tokenizer.model_max_length, positions)
        if window > most:
            raise ConfigError(f"redaction.window_tokens={window} is out of range: the model reads {most} at once.")
        self._head, self._tail = self._ends()
        self._size, self._overlap, self._batch = window - len(self._head) - len(self._tail), overlap, batch
        self._tags = tags
        # None, the first, is no class.
        self._kinds: list[str | None] = [None, *sorted({tag.kind for tag in tags if tag.kind})]
        # (labels, classes): which label adds to which class.
        self._members = np.array([[tag.kind == kind for kind in self._kinds] for tag in tags], dtype=np.float64)

    def _ends(self) -> tuple[list[int], list[int]]:
        """The tokens that stand before and behind every text."""
        read = self._tokenizer("1", return_special_tokens_mask=True)
        ids, special = list(read["input_ids"]), list(read["special_tokens_mask"])
        inside = [place for place, mark in enumerate(special) if not mark]
        return ids[: inside[0]], ids[inside[-1] + 1 :]

    def spans(self, text: str) -> tuple[Span, ...]:
        """What the model finds in a text, in its order; none overlap."""
        if not text.strip():
            return ()
        # "[SEP]" that somebody typed is text.
        read = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True, verbose=False
        )
        ids, offsets, words = list(read["input_ids"]), list(read["offset_mapping"]), read.word_ids()
        if not ids:
            return ()
        labels = self._probabilities(ids)  # (tokens, labels)
        classes = labels @ self._members  # (tokens, classes)
        for place in range(1, len(ids)):
            if words[place] == words[place - 1] and _one_word(text, offsets[place - 1], offsets[place]):
                classes[place], labels[place] = classes[place - 1], labels[place - 1]
        kinds = classes.argmax(axis=1)
        # Of each token's class, its likeliest label.
        tags = [self._tags[label] for label in (labels * self._members[:, kinds].T).argmax(axis=1)]
        return tuple(self._joined(text, offsets, classes.max(axis=1), tags))

    @staticmethod
    def _joined(
        text: str, offsets: Sequence[tuple[int, int]], chances: np.ndarray, tags: Sequence[Tag]
    ) -> Iterator[Span]:
        start = 0
        for place in range(1, len(offsets) + 1):
            if place < len(offsets) and not _parted(text, offsets[place - 1 : place + 1], tags[place - 1], tags[place]):
                continue
            kind = tags[start].kind
            if kind is not None:
                stop = max(stop for _, stop in offsets[start:place])
                yield Span(kind, offsets[start][0], stop, float(chances[start:place].mean()))
            start = place

    @torch.inference_mode()
    def _probabilities(self, ids: Sequence[int]) -> np.ndarray:
        """(tokens, labels)"""
        cut = list(windows(len(ids), self._size, self._overlap))
        parts = []
        for at in range(0, len(cut), self._batch):
            batch = cut[at : at + self._batch]
            rows = [[*self._head, *ids[each.start : each.stop], *self._tail] for each in batch]
            longest, blank = max(map(len, rows)), self._tokenizer.pad_token_id or 0
            tokens = torch.tensor([row + [blank] * (longest - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
            logits = self._model(input_ids=tokens, attention_mask=mask).logits  # (windows, tokens, labels)
            if not torch.isfinite(logits[mask.bool()]).all():
                raise self._opened.refusal("gives no numbers for a text", "its weights are broken; copy it again")
            chances = torch.softmax(logits.double(), dim=-1).numpy()
            head = len(self._head)
            parts += [
                chances[row, head + each.first - each.start : head + each.last - each.start]
                for row, each in enumerate(batch)
            ]
        return np.concatenate(parts)


def _parted(text: str, offsets: Sequence[tuple[int, int]], before: Tag, after: Tag) -> bool:
    """Whether a new span begins at the second of two tokens."""
    if after.kind != before.kind:
        return True
    return not _one_word(text, *offsets) and (after.begins or before.ends)


def _one_word(text: str, before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether two tokens are pieces of one character, of one word in an alphabet, or of one number."""
    if after[0] < before[1]:
        return True
    if after[0] > before[1] or not before[1] or after[1] == after[0]:
        return False
    sides = text[before[1] - 1], text[after[0]]
    return all(side.isascii() and side.isalnum() for side in sides)
