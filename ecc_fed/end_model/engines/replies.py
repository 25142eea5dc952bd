"""The loop over a reply's tokens, the same for every engine, and who hears of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ecc_fed.core.heartbeat import beat
from ecc_fed.end_model.engines.sampling import Picker, Row


class Stepper(Protocol):
    """A batch of rows on its way through a model with a key-value cache."""

    def first(self) -> Tensor:
        """Logits (rows, vocabulary) behind the prompts."""
        ...

    def next(self, tokens: Tensor) -> Tensor:
        """Logits behind one more token (rows,) of every row."""
        ...

    def keep(self, index: Tensor) -> None:
        """Goes on with these rows only."""
        ...


OnToken = Callable[[int], None]
_LISTENER: ContextVar[OnToken | None] = ContextVar("token_listener", default=None)


@contextmanager
def hearing_tokens(listener: OnToken) -> Iterator[None]:
    """Within the block, `listener` hears of every token id of a single row the moment it is drawn.

    It sits here, below the engines, so that every engine and adapter method streams the very reply it gives.
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@dataclass(frozen=True, slots=True)
class EndMarks:
    """What ends a reply: one of the tokens `ids`, or the tokens of `sequence` in a row, if there are any."""

    ids: frozenset[int]
    sequence: tuple[int, ...] = ()

    def ended(self, drawn: list[int]) -> bool:
        """Whether the last tokens are the sequence."""
        return bool(self.sequence) and drawn[-len(self.sequence) :] == list(self.sequence)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One row's new token ids, without the end mark, and the mean margin of its draws, the end mark's included."""

    ids: list[int]
    margin: float


def margins(logits: Tensor) -> Tensor:
    """Logits (rows, vocabulary) -> how far the likeliest token's probability lies above the second's, (rows,)."""
    likeliest = torch.softmax(logits.float(), -1).topk(2, -1).values
    return likeliest[:, 0] - likeliest[:, 1]


class _Listening:
    """Tells a listener of tokens that belong to no end mark, one row's."""

    def __init__(self, listener: OnToken | None, marks: EndMarks) -> None:
        self._listener, self._held_back = listener, max(0, len(marks.sequence) - 1)
        self._told = 0

    def hear(self, drawn: list[int], done: bool) -> None:
        """Hears of a row as it is; `done`: nothing more will be drawn."""
        if self._listener is not None:
            certain = len(drawn) if done else len(drawn) - self._held_back
            for token in drawn[self._told : certain]:
                self._listener(token)
            self._told = max(self._told, certain)


def draw_replies(stepper: Stepper, rows: Sequence[Row], marks: EndMarks, device: torch.device) -> list[Drawn]:
    """What every row draws.

    Finished rows leave the batch once half of it is done.
    """
    listening = _Listening(_LISTENER.get(), marks)
    picker = Picker(rows, device)
    replies: list[list[int]] = [[] for _ in rows]
    sure: list[list[float]] = [[] for _ in rows]
    done = [False] * len(rows)
    alive = list(range(len(rows)))  # The row behind every place of the batch.
    logits = stepper.first()
    for step in range(max(row.decoding.max_new_tokens for row in rows)):
        beat()
        tokens = picker.pick(logits, step)
        for row, token, margin in zip(alive, tokens.tolist(), margins(logits).tolist(), strict=True):
            if done[row]:
                continue
            sure[row].append(margin)
            if token in marks.ids:
                done[row] = True
            else:
                replies[row].append(token)
                done[row] = len(replies[row]) == rows[row].decoding.max_new_tokens
                if marks.ended(replies[row]):
                    del replies[row][-len(marks.sequence) :]
                    done[row] = True
            listening.hear(replies[row], done[row])
        left = [place for place, row in enumerate(alive) if not done[row]]
        if not left:
            break
        if len(left) * 2 <= len(alive):
            index = torch.tensor(left, device=device)
            alive = [alive[place] for place in left]
            tokens = tokens[index]
            picker.keep(index)
            stepper.keep(index)
        logits = stepper.next(tokens)
    return [Drawn(ids, math.fsum(values) / len(values)) for ids, values in zip(replies, sure, strict=True)]
