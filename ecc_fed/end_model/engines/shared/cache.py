"""Keys and values of rows on their way through a decoder, and one more token of each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ecc_fed.end_model.engines.batching import split_in_order
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.attention import Angles, rotate
from ecc_fed.end_model.engines.shared.forward import forward_packed, run_layers
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.packing import Bucket, pack


@dataclass(slots=True)
class Cache:
    """Rows' keys and values, from position 0 on.

    Attributes:
        keys, values: for every layer (rows, kv heads, room, head_dim).
        lengths: how many places of each row are filled (rows,); the place of its next token.
        places: 0 to room - 1.
        angles: cos and sin (room, rotary dims / 2) by the name of the rotary frequencies. They are held here since
            the base may make longer ones in the meantime.
    """

    keys: list[Tensor]
    values: list[Tensor]
    lengths: Tensor
    places: Tensor
    angles: dict[str, Angles]

    @property
    def room(self) -> int:
        """Places of a row."""
        return len(self.places)

    def first(self, rows: int) -> Cache:
        """The first so many rows, as views."""
        keys, values = ([part[:rows] for part in parts] for parts in (self.keys, self.values))
        return Cache(keys, values, self.lengths[:rows], self.places, self.angles)


def empty_cache(base: PackedBase, rows: int, room: int) -> Cache:
    """Room for so many rows of so many tokens."""
    shape = (rows, base.kv_heads, room, base.head_dim)
    keys = [torch.zeros(shape, dtype=base.dtype, device=base.device) for _ in base.layers]
    return Cache(
        keys,
        [torch.zeros_like(part) for part in keys],
        torch.zeros(rows, dtype=torch.long, device=base.device),
        torch.arange(room, device=base.device),
        {rope: base.angles(room, rope) for rope in base.rotary},
    )


def read_prompts(
    base: PackedBase,
    adapters: ActiveAdapters | None,
    cache: Cache,
    prompts: Sequence[Sequence[int]],
    bank_rows: Sequence[int],
    first_row: int = 0,
) -> Tensor:
    """Fills the cache's rows from `first_row` on in one packed pass; the last hidden state of each (rows, hidden).

    `bank_rows` ascend.
    """
    groups = sorted(set(bank_rows))
    wanted = [[len(prompt) - 1] for prompt in prompts]
    packed = pack(prompts, wanted, [bank_rows.count(row) for row in groups], groups, base.device)

    def fill(layer: int, bucket: Bucket, keys: Tensor, values: Tensor) -> None:
        rows = bucket.sequences + first_row if first_row else bucket.sequences
        cache.keys[layer][rows, :, : bucket.length] = keys.transpose(1, 2)
        cache.values[layer][rows, :, : bucket.length] = values.transpose(1, 2)

    return forward_packed(base, packed, adapters, sink=fill)


def read_in_passes(
    base: PackedBase,
    adapters: ActiveAdapters | None,
    cache: Cache,
    prompts: Sequence[Sequence[int]],
    bank_rows: Sequence[int],
    pass_tokens: int,
) -> Tensor:
    """`read_prompts` for all rows, at most so many tokens at once (or one prompt)."""
    hidden = [
        read_prompts(
            base,
            adapters,
            cache,
            prompts[part.start : part.stop],
            bank_rows[part.start : part.stop],
            part.start,
        )
        for part in split_in_order([len(prompt) for prompt in prompts], pass_tokens)
    ]
    return torch.cat(hidden)


def next_token(
    base: PackedBase, adapters: ActiveAdapters | None, groups: Groups, cache: Cache, tokens: Tensor, seen: int
) -> Tensor:
    """Logits (rows, vocabulary) behind one more token (rows,) of every row.

    Its keys and values take the place that `cache.lengths` names, and the first `seen` places are looked at.
    """
    every = torch.arange(len(tokens), device=tokens.device)
    turns: dict[str | None, Angles | None] = {None: None}
    for rope, (cos, sin) in cache.angles.items():
        turns[rope] = cos[cache.lengths][:, None, None], sin[cache.lengths][:, None, None]
    unseen = unseen_places(cache.places[:seen], cache.lengths, {layer.window for layer in base.layers})

    def attend(index: int, qkv: Tensor) -> Tensor:
        layer = base.layers[index]
        return _attend(base, cache, index, qkv, every, turns[layer.rope], unseen[layer.window])

    return base.logits(run_layers(base, base.embed(tokens), adapters, groups, attend))


def unseen_places(places: Tensor, lengths: Tensor, windows: Collection[int | None]) -> dict[int | None, Tensor]:
    """For every window, which places (P,) of the cache the token at position `lengths` (rows,) does not see.

    Each is (rows, 1, 1, P): what lies behind the token, and what lies before its window.
    """
    behind = places > lengths[:, None]
    unseen = {
        window: behind if window is None else behind | (places <= lengths[:, None] - window) for window in windows
    }
    return {window: hidden[:, None, None] for window, hidden in unseen.items()}


def _attend(
    base: PackedBase, cache: Cache, layer: int, qkv: Tensor, every: Tensor, angles: Angles | None, unseen: Tensor
) -> Tensor:
    """One new query a row against its cache; `unseen` (rows, 1, 1, seen) hides places."""
    rotated = base.heads + base.kv_heads
    x = qkv.view(len(qkv), 1, rotated + base.kv_heads, base.head_dim)
    if angles is not None:
        rotate(x[:, :, :rotated], *angles, base.interleaved)
    keys, values, seen = cache.keys[layer], cache.values[layer], unseen.shape[-1]
    keys[every, :, cache.lengths] = x[:, 0, base.heads : rotated]
    values[every, :, cache.lengths] = x[:, 0, rotated:]
    # Heads that share keys are rows of one product: (rows, kv heads, queries, head_dim).
    q = x[:, 0, : base.heads].reshape(len(x), base.kv_heads, -1, base.head_dim)
    scores = (q @ keys[:, :, :seen].transpose(-1, -2)).mul_(base.score_scale or base.head_dim**-0.5)
    weights = scores.masked_fill_(unseen, float("-inf")).softmax(-1)
    out: Tensor = weights @ values[:, :, :seen]
    return out.reshape(len(x), -1)
