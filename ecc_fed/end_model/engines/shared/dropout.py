"""LoRA dropout: every shop's masks are its own, whoever shares the batch.

As in peft, every projection has a mask of its own. On a CPU each shop draws from its own generator, in the order of its
own forward passes and over its own rows; elsewhere masks are a function of a counter (`counted_masks`), so that one
launch draws them for all shops and none needs to be kept. The two are different masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.counted_masks import MaskKey
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.row_functions import RowFunctions
from ecc_fed.end_model.engines.shared.uploads import upload
from ecc_fed.end_model.training.jobs import dropout_seed

# Stacks of a layer, and room for a stack's projections, in the number of a site.
_STACKS, _PROJECTIONS = 4, 16


class Masks(Protocol):
    """One stack's masks in one pass; what they keep is to be scaled by `keep_scale`."""

    def drop(self, projection: int, x: Tensor) -> Tensor:
        """x (N, d_in) with the projection's dropped elements at 0."""
        ...

    def add_dropped(self, projection: int, into: Tensor, x: Tensor) -> None:
        """into += drop(x), in place; x is of no use afterwards."""
        ...


class Dropout(Protocol):
    """The shops' masks.

    Attributes:
        keep_scale: 1 / (1 - p).
    """

    keep_scale: float

    def select(self, shops: Sequence[int], step: int) -> None:
        """The shops whose groups the next forward pass holds, one for each group, and their step."""
        ...

    def masks(self, groups: Groups, layer: int, stack: int, d_in: int, projections: int) -> Masks:
        """The masks of one stack over the rows of `groups`."""
        ...


def _threshold(probability: float) -> int:
    """Of 65,536 draws, those that drop an element: the probability is held to 1 in 131,072."""
    return round(probability * 65536)


@dataclass(frozen=True, slots=True)
class DrawnMasks:
    """Masks that lie in memory, for every projection (N, d_in) int8."""

    masks: Sequence[Tensor]

    def drop(self, projection: int, x: Tensor) -> Tensor:
        """As `Masks.drop`."""
        return x * self.masks[projection].to(x.dtype)

    def add_dropped(self, projection: int, into: Tensor, x: Tensor) -> None:
        """As `Masks.add_dropped`."""
        into += x.mul_(self.masks[projection].to(x.dtype))


class StreamDropout:
    """Masks by numpy from a generator for each shop, several times as fast as torch's on a CPU.

    Args:
        probability: of an element to be dropped.
        seeds: every shop's job seed.
        device: where the masks are wanted.
    """

    def __init__(self, probability: float, seeds: Sequence[int], device: torch.device) -> None:
        self.threshold = _threshold(probability)
        self.keep_scale = 1.0 / (1.0 - self.threshold / 65536)
        self.device = device
        self.selected: Sequence[int] = range(len(seeds))
        self.streams = [np.random.Generator(np.random.SFC64(dropout_seed(seed))) for seed in seeds]

    def select(self, shops: Sequence[int], step: int) -> None:
        """As `Dropout.select`."""
        self.selected = shops

    def masks(self, groups: Groups, layer: int, stack: int, d_in: int, projections: int) -> DrawnMasks:
        """As `Dropout.masks`."""
        return DrawnMasks(self.draw(groups.sizes, d_in, projections))

    def draw(self, sizes: Sequence[int], d_in: int, projections: int) -> list[Tensor]:
        """For every projection an int8 mask (sum of sizes, d_in) of 0 and 1."""
        masks = torch.empty((projections, sum(sizes), d_in), dtype=torch.int8)
        start = 0
        for shop, size in zip(self.selected, sizes, strict=True):
            part = masks[:, start : start + size]
            words = self.streams[shop].integers(0, 2**64, -(-part.numel() // 4), dtype=np.uint64)
            half_words = words.view(np.uint16)[: part.numel()].reshape(part.shape)
            np.greater_equal(half_words, self.threshold, out=part.numpy(), casting="unsafe")
            start += size
        return list(masks.to(self.device).unbind(0))


@dataclass(frozen=True, slots=True)
class CountedMasks:
    """Masks that are drawn where they are applied; `key` is the first projection's."""

    key: MaskKey
    rows: RowFunctions

    def drop(self, projection: int, x: Tensor) -> Tensor:
        """As `Masks.drop`."""
        return self.rows.drop(x, self._of(projection))

    def add_dropped(self, projection: int, into: Tensor, x: Tensor) -> None:
        """As `Masks.add_dropped`."""
        self.rows.add_dropped(into, x, self._of(projection))

    def _of(self, projection: int) -> MaskKey:
        key = self.key
        return MaskKey(key.seeds, key.numbers, key.site + projection, key.step, key.threshold)


class CountedDropout:
    """Masks by `counted_masks`.

    Args:
        probability: of an element to be dropped.
        seeds: every shop's job seed.
        device: where the masks are wanted.
        rows: how they are drawn.
    """

    def __init__(self, probability: float, seeds: Sequence[int], device: torch.device, rows: RowFunctions) -> None:
        self.threshold = _threshold(probability)
        self.keep_scale = 1.0 / (1.0 - self.threshold / 65536)
        self._device, self._rows = device, rows
        self._seeds = np.array([dropout_seed(seed) for seed in seeds], np.int64)
        self.select(range(len(seeds)), 0)

    def select(self, shops: Sequence[int], step: int) -> None:
        """As `Dropout.select`."""
        self._shops, self._step = list(shops), step
        self._numbered: list[tuple[Groups, Tensor, Tensor]] = []

    def masks(self, groups: Groups, layer: int, stack: int, d_in: int, projections: int) -> CountedMasks:
        """As `Dropout.masks`."""
        assert projections <= _PROJECTIONS
        seeds, numbers = self._rows_of(groups)
        site = (layer * _STACKS + stack) * _PROJECTIONS
        return CountedMasks(MaskKey(seeds, numbers, site, self._step, self.threshold), self._rows)

    def _rows_of(self, groups: Groups) -> tuple[Tensor, Tensor]:
        """Every row's seed, and its place among its shop's rows; made once for a pass' groups."""
        for known, seeds, numbers in self._numbered:
            if known is groups:
                return seeds, numbers
        rows: dict[int, int] = {}
        for shop, size in zip(self._shops, groups.sizes, strict=True):
            rows[shop] = rows.get(shop, 0) + size
        seeds = upload(np.repeat(self._seeds[list(rows)], list(rows.values())), self._device)
        numbers = upload(np.concatenate([np.arange(size, dtype=np.int32) for size in rows.values()]), self._device)
        self._numbered.append((groups, seeds, numbers))
        return seeds, numbers
