"""Generation for many adapters at once: packed prompts, then one token of every row in each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ecc_fed.end_model.engines.replies import Drawn, EndMarks, draw_replies
from ecc_fed.end_model.engines.sampling import Row
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.attention import rotate
from ecc_fed.end_model.engines.shared.forward import forward_packed, run_layers
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.packing import Bucket, pack


@torch.inference_mode()
def generate_batch(
    base: PackedBase,
    adapters: ActiveAdapters | None,
    rows: Sequence[Row],
    bank_rows: Sequence[int],
    marks: EndMarks,
) -> list[Drawn]:
    """What every row draws; row i meets bank row `bank_rows[i]` (ascending)."""
    return draw_replies(_PackedBatch(base, adapters, rows, bank_rows), rows, marks, base.device)


class _PackedBatch:
    """Rows with an adapter each; row i's keys and values fill its cache from position 0 on."""

    def __init__(
        self, base: PackedBase, adapters: ActiveAdapters | None, rows: Sequence[Row], bank_rows: Sequence[int]
    ) -> None:
        self.base, self.adapters = base, adapters
        self.prompts = [row.prompt for row in rows]
        self.bank_rows = list(bank_rows)
        room = max(row.total_tokens for row in rows)
        shape = (len(rows), base.kv_heads, room, base.head_dim)
        self.keys = [torch.zeros(shape, dtype=base.dtype, device=base.device) for _ in base.layers]
        self.values = [torch.zeros_like(keys) for keys in self.keys]
        self.lengths = torch.tensor([len(prompt) for prompt in self.prompts], device=base.device)
        self.longest = max(len(prompt) for prompt in self.prompts)
        self.angles = base.angles(room)
        self.places = torch.arange(room, device=base.device)
        self._regroup()

    def first(self) -> Tensor:
        rows, sizes = self.groups.rows, self.groups.sizes
        wanted = [[len(prompt) - 1] for prompt in self.prompts]
        packed = pack(self.prompts, wanted, sizes, rows, self.base.device)

        def fill(layer: int, bucket: Bucket, keys: Tensor, values: Tensor) -> None:
            self.keys[layer][bucket.sequences, :, : bucket.length] = keys.transpose(1, 2)
            self.values[layer][bucket.sequences, :, : bucket.length] = values.transpose(1, 2)

        hidden = forward_packed(self.base, packed, self.adapters, sink=fill)
        return self.base.head.product(hidden)

    def next(self, tokens: Tensor) -> Tensor:
        x = self.base.embedding[tokens].to(self.base.dtype)
        self.longest += 1
        every = torch.arange(len(tokens), device=tokens.device)
        cos, sin = (part[self.lengths][:, None, None] for part in self.angles)
        unseen = (self.places[: self.longest] > self.lengths[:, None])[:, None, None]
        hidden = run_layers(
            self.base, x, self.adapters, self.groups, lambda i, qkv: self._attend(i, qkv, every, cos, sin, unseen)
        )
        self.lengths = self.lengths + 1
        return self.base.head.product(hidden)

    def keep(self, index: Tensor) -> None:
        self.keys = [keys[index] for keys in self.keys]
        self.values = [values[index] for values in self.values]
        self.lengths = self.lengths[index]
        self.bank_rows = [self.bank_rows[place] for place in index.tolist()]
        self._regroup()

    def _regroup(self) -> None:
        rows = sorted(set(self.bank_rows))
        self.groups = Groups(rows, [self.bank_rows.count(row) for row in rows], self.base.device)

    def _attend(self, layer: int, qkv: Tensor, every: Tensor, cos: Tensor, sin: Tensor, unseen: Tensor) -> Tensor:
        """One new query a row against its cache; `unseen` (rows, 1, 1, longest) hides what lies behind."""
        base = self.base
        rotated = base.heads + base.kv_heads
        x = qkv.view(len(qkv), 1, rotated + base.kv_heads, base.head_dim)
        rotate(x[:, :, :rotated], cos, sin, base.interleaved)
        keys, values = self.keys[layer], self.values[layer]
        keys[every, :, self.lengths] = x[:, 0, base.heads : rotated]
        values[every, :, self.lengths] = x[:, 0, rotated:]
        # Heads that share keys are rows of one product: (rows, kv heads, queries, head_dim).
        q = x[:, 0, : base.heads].reshape(len(x), base.kv_heads, -1, base.head_dim)
        scores = (q @ keys[:, :, : self.longest].transpose(-1, -2)).mul_(base.head_dim**-0.5)
        weights = scores.masked_fill_(unseen, float("-inf")).softmax(-1)
        out: Tensor = weights @ values[:, :, : self.longest]
        return out.reshape(len(x), -1)
