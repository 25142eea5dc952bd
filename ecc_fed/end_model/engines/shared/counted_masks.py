"""Dropout masks as a function of a counter: nothing is kept, and a mask is the same wherever it is drawn again.

The bits are those of Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"):

| word | is |
|---|---|
| key 0, 1 | the low and the high half of a shop's seed |
| counter 0 | the element's block: 8 elements of a row, a stride of 128 apart |
| counter 1 | the row, counted over the shop's own rows |
| counter 2 | the site: which layer, stack and projection |
| counter 3 | the shop's step |

Each of a block's four words is two draws of 16 bits. So a shop's masks are its own whoever shares the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 10
# Elements of a row that meet the same eight draws lie this far apart: neighbours are read and written together.
STRIDE = 128
LANES = 8
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class MaskKey:
    """Which mask.

    Attributes:
        seeds: every row's shop's seed (N,) int64.
        numbers: every row's place among its shop's rows (N,) int32.
        site: which layer, stack and projection.
        step: the shops' step.
        threshold: of 65,536 draws, those below it drop an element.
    """

    seeds: Tensor
    numbers: Tensor
    site: int
    step: int
    threshold: int


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Four random words for four counter and two key words, all unsigned 32 bits in int64 tensors that broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # Of a product modulo 2^64, both halves are right whatever the sign is taken for.
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((second >> 32) & _WORD) ^ c1 ^ k0,
            second & _WORD,
            ((first >> 32) & _WORD) ^ c3 ^ k1,
            first & _WORD,
        )
        k0, k1 = (k0 + WEYL[0]) & _WORD, (k1 + WEYL[1]) & _WORD
    return c0, c1, c2, c3


def kept(key: MaskKey, width: int) -> Tensor:
    """The mask (N, width), true where an element stays."""
    seeds, device = key.seeds, key.seeds.device
    blocks = -(-width // (STRIDE * LANES)) * STRIDE
    counter = (
        torch.arange(blocks, device=device)[None],
        key.numbers.long()[:, None],
        torch.tensor(key.site, device=device),
        torch.tensor(key.step, device=device),
    )
    words = philox(counter, ((seeds & _WORD)[:, None], ((seeds >> 32) & _WORD)[:, None]))
    halves = torch.stack([half for word in words for half in (word & 0xFFFF, word >> 16)], 1)  # (N, lanes, blocks)
    tiles = halves.view(len(seeds), LANES, -1, STRIDE).transpose(1, 2)  # (N, tiles, lanes, stride)
    return tiles.reshape(len(seeds), -1)[:, :width] >= key.threshold


def drop(x: Tensor, key: MaskKey) -> Tensor:
    """x (N, d) with dropped elements at 0."""
    return x * kept(key, x.shape[1])


def add_dropped(into: Tensor, x: Tensor, key: MaskKey) -> None:
    """into += drop(x), in place."""
    into += drop(x, key)
