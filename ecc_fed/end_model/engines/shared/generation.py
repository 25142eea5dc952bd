"""Generation for many adapters at once: packed prompts, then one token of every row in each step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ecc_fed.end_model.engines.replies import Drawn, EndMarks, draw_replies
from ecc_fed.end_model.engines.sampling import Row
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.attention import Angles, rotate
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
        self.angles = {rope: base.angles(room, rope) for rope in base.rotary}
        self.windows = {layer.window for layer in base.layers}
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
        return self.base.logits(hidden)

    def next(self, tokens: Tensor) -> Tensor:
        x = self.base.embed(tokens)
        self.longest += 1
        every = torch.arange(len(tokens), device=tokens.device)
        turns: dict[str | None, Angles | None] = {None: None}
        for rope, (cos, sin) in self.angles.items():
            turns[rope] = cos[self.lengths][:, None, None], sin[self.lengths][:, None, None]
        unseen = unseen_places(self.places[: self.longest], self.lengths, self.windows)

        def attend(index: int, qkv: Tensor) -> Tensor:
            layer = self.base.layers[index]
            return self._attend(index, qkv, every, turns[layer.rope], unseen[layer.window])

        hidden = run_layers(self.base, x, self.adapters, self.groups, attend)
        self.lengths = self.lengths + 1
        return self.base.logits(hidden)

    def keep(self, index: Tensor) -> None:
        self.keys = [keys[index] for keys in self.keys]
        self.values = [values[index] for values in self.values]
        self.lengths = self.lengths[index]
        self.bank_rows = [self.bank_rows[place] for place in index.tolist()]
        self._regroup()

    def _regroup(self) -> None:
        rows = sorted(set(self.bank_rows))
        self.groups = Groups(rows, [self.bank_rows.count(row) for row in rows], self.base.device)

    def _attend(self, layer: int, qkv: Tensor, every: Tensor, angles: Angles | None, unseen: Tensor) -> Tensor:
        """One new query a row against its cache; `unseen` (rows, 1, 1, longest) hides what lies behind."""
        base = self.base
        rotated = base.heads + base.kv_heads
        x = qkv.view(len(qkv), 1, rotated + base.kv_heads, base.head_dim)
        if angles is not None:
            rotate(x[:, :, :rotated], *angles, base.interleaved)
        keys, values = self.keys[layer], self.values[layer]
        keys[every, :, self.lengths] = x[:, 0, base.heads : rotated]
        values[every, :, self.lengths] = x[:, 0, rotated:]
        # Heads that share keys are rows of one product: (rows, kv heads, queries, head_dim).
        q = x[:, 0, : base.heads].reshape(len(x), base.kv_heads, -1, base.head_dim)
        scores = (q @ keys[:, :, : self.longest].transpose(-1, -2)).mul_(base.score_scale or base.head_dim**-0.5)
        weights = scores.masked_fill_(unseen, float("-inf")).softmax(-1)
        out: Tensor = weights @ values[:, :, : self.longest]
        return out.reshape(len(x), -1)


def unseen_places(places: Tensor, lengths: Tensor, windows: Collection[int | None]) -> dict[int | None, Tensor]:
    """For every window, which places (P,) of the cache the token at position `lengths` (rows,) does not see.

    Each is (rows, 1, 1, P): what lies behind the token, and what lies before its window.
    """
    behind = places > lengths[:, None]
    unseen = {
        window: behind if window is None else behind | (places <= lengths[:, None] - window) for window in windows
    }
    return {window: hidden[:, None, None] for window, hidden in unseen.items()}
