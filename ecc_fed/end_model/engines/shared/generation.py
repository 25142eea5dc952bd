"""Generation for many adapters at once: packed prompts, then one token of every row in each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ecc_fed.end_model.engines.replies import Drawn, EndMarks, draw_replies
from ecc_fed.end_model.engines.sampling import Row
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.cache import Cache, empty_cache, next_token, read_in_passes
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.limits import BATCH_TOKENS


@torch.inference_mode()
def generate_batch(
    base: PackedBase,
    adapters: ActiveAdapters | None,
    rows: Sequence[Row],
    bank_rows: Sequence[int],
    marks: EndMarks,
    pass_tokens: int = BATCH_TOKENS,
) -> list[Drawn]:
    """What every row draws; row i meets bank row `bank_rows[i]` (ascending).

    At most `pass_tokens` of prompts are read at once.
    """
    return draw_replies(_PackedBatch(base, adapters, rows, bank_rows, pass_tokens), rows, marks, base.device)


class _PackedBatch:
    """Rows with an adapter each, in a cache of their own."""

    def __init__(
        self,
        base: PackedBase,
        adapters: ActiveAdapters | None,
        rows: Sequence[Row],
        bank_rows: Sequence[int],
        pass_tokens: int,
    ) -> None:
        self.base, self.adapters, self.pass_tokens = base, adapters, pass_tokens
        self.prompts = [row.prompt for row in rows]
        self.bank_rows = list(bank_rows)
        self.cache = empty_cache(base, len(rows), max(row.total_tokens for row in rows))
        self.cache.lengths = torch.tensor([len(prompt) for prompt in self.prompts], device=base.device)
        self.longest = max(len(prompt) for prompt in self.prompts)
        self._regroup()

    def first(self) -> Tensor:
        hidden = read_in_passes(self.base, self.adapters, self.cache, self.prompts, self.bank_rows, self.pass_tokens)
        return self.base.logits(hidden)

    def next(self, tokens: Tensor) -> Tensor:
        cache = self.cache
        self.longest = min(self.longest + 1, cache.room)
        logits = next_token(self.base, self.adapters, self.groups, cache, tokens, self.longest)
        # A row that is done may stay for others' sake, at its last place.
        cache.lengths = (cache.lengths + 1).clamp_(max=cache.room - 1)
        return logits

    def keep(self, index: Tensor) -> None:
        old = self.cache
        keys, values = ([part[index] for part in parts] for parts in (old.keys, old.values))
        self.cache = Cache(keys, values, old.lengths[index], old.places, old.angles)
        self.bank_rows = [self.bank_rows[place] for place in index.tolist()]
        self._regroup()

    def _regroup(self) -> None:
        rows = sorted(set(self.bank_rows))
        self.groups = Groups(rows, [self.bank_rows.count(row) for row in rows], self.base.device)
