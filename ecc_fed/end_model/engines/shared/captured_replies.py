"""Replies over a static cache: rows at addresses that never change, so that a step can be captured once and replayed.

A step is captured for a number of rows and of places looked at, both rounded up, and serves fewer of both, too: a few
steps serve a call. Rows beyond those at work compute what nobody reads. Rows that are done leave: others move up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ecc_fed.end_model.engines.replies import Drawn, EndMarks, draw_replies
from ecc_fed.end_model.engines.sampling import Row
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.cache import empty_cache, next_token, read_in_passes
from ecc_fed.end_model.engines.shared.captured_step import Capture, Step
from ecc_fed.end_model.engines.shared.every_row import EveryRow
from ecc_fed.end_model.engines.shared.packed_base import PackedBase

_FEWEST_PLACES = 128
_SPARE_ROWS = 4
_SPARE_PLACES = 2


class CapturedReplies:
    """What the batches of one call share: the base as they read it, their cache, and the steps captured so far.

    Args:
        base: with activations in the dtype of the cache.
        adapters: every batch's, in that dtype; None: none has one.
        rows: of the largest batch.
        room: tokens of the longest row, reply included.
        capture: makes a replayed step from a step.
        pass_tokens: that prompts are read in at once.
    """

    def __init__(
        self,
        base: PackedBase,
        adapters: ActiveAdapters | None,
        rows: int,
        room: int,
        capture: Capture,
        pass_tokens: int,
    ) -> None:
        self.base, self.adapters, self.pass_tokens = base, adapters, pass_tokens
        self.cache = empty_cache(base, rows, room)
        self.tokens = torch.zeros_like(self.cache.lengths)
        self.bank_rows = torch.zeros_like(self.cache.lengths)
        self._capture = capture
        self._steps: dict[tuple[int, int], Step] = {}

    @torch.no_grad()
    def generate(self, rows: Sequence[Row], bank_rows: Sequence[int], marks: EndMarks) -> list[Drawn]:
        """What every row draws; row i meets bank row `bank_rows[i]` (ascending)."""
        return draw_replies(_Batch(self, rows, bank_rows), rows, marks, self.base.device)

    def step(self, rows: int, longest: int) -> Tensor:
        """Logits (rows, vocabulary) behind `tokens` of the first rows, none of which has more than `longest` places."""
        wanted = min(row_bucket(rows), len(self.tokens)), min(place_bucket(longest), self.cache.room)
        # A step that is a few times larger costs less than capturing another.
        fitting = [
            (many, seen)
            for many, seen in self._steps
            if rows <= many <= _SPARE_ROWS * wanted[0] and longest <= seen <= _SPARE_PLACES * wanted[1]
        ]
        key = min(fitting, default=wanted)
        if key not in self._steps:
            self._steps[key] = self._capture(partial(self._compute, *key))
        return self._steps[key]()[:rows]

    def _compute(self, rows: int, seen: int) -> Tensor:
        groups, tokens = EveryRow(self.bank_rows[:rows]), self.tokens[:rows]
        return next_token(self.base, self.adapters, groups, self.cache.first(rows), tokens, seen)


class _Batch:
    """One batch on its way through the shared cache, in its first rows."""

    def __init__(self, room: CapturedReplies, rows: Sequence[Row], bank_rows: Sequence[int]) -> None:
        self.room = room
        self.prompts = [row.prompt for row in rows]
        self.own = list(bank_rows)
        lengths = [len(prompt) for prompt in self.prompts]
        self.longest = max(lengths)
        device = room.base.device
        room.cache.lengths[: len(rows)] = torch.tensor(lengths, device=device)
        room.bank_rows[: len(rows)] = torch.tensor(self.own, device=device)

    def first(self) -> Tensor:
        room = self.room
        hidden = read_in_passes(room.base, room.adapters, room.cache, self.prompts, self.own, room.pass_tokens)
        return room.base.logits(hidden)

    def next(self, tokens: Tensor) -> Tensor:
        cache, rows = self.room.cache, len(tokens)
        self.longest = min(self.longest + 1, cache.room)
        self.room.tokens[:rows].copy_(tokens)
        logits = self.room.step(rows, self.longest)
        # Not part of the step, which may thus be run twice; a row that is done stays at its last place.
        cache.lengths[:rows].add_(1).clamp_(max=cache.room - 1)
        return logits

    def keep(self, index: Tensor) -> None:
        cache = self.room.cache
        for part in (*cache.keys, *cache.values, cache.lengths, self.room.bank_rows):
            part[: len(index)] = part[index]


def row_bucket(rows: int) -> int:
    """The rows of the step that serves so many: a power of two, or three times one from 24 on."""
    power = 1 << max(rows - 1, 0).bit_length()
    return power // 4 * 3 if power >= 32 and rows <= power // 4 * 3 else power


def place_bucket(places: int) -> int:
    """The places of the step that looks at so many: 128 times a power of two."""
    return max(_FEWEST_PLACES, 1 << max(places - 1, 0).bit_length())
