"""Which rows hang together, and draws that respect it.

Replies of one dialogue come from one conversation, dialogues of one shop from one fine-tuning. A bootstrap that draws
single rows takes them for independent, and its intervals come out too narrow. Here a draw takes as many shops as there
are, with replacement; within every drawn shop as many dialogues as it has; within every drawn dialogue as many rows as
it has (the nested bootstrap of Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
# Cells of the (resamples, rows) count matrix held at once: 16 MB of float64.
_BLOCK_CELLS = 2_000_000


def _numbers(labels: Sequence[Hashable]) -> Indices:
    """Labels as whole numbers from 0, in the order in which they first occur."""
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(label, len(places)) for label in labels], dtype=np.int64)


@dataclass(frozen=True)
class Units:
    """For every row its shop and its dialogue; dialogues of two shops are two, whatever their labels.

    Raises:
        ValueError: the two differ in length.
    """

    shops: Sequence[Hashable]
    dialogues: Sequence[Hashable]

    def __post_init__(self) -> None:
        if len(self.shops) != len(self.dialogues):
            raise ValueError(f"{len(self.shops)} rows have a shop and {len(self.dialogues)} a dialogue")

    @classmethod
    def single(cls, num_rows: int) -> Units:
        """Every row by itself: right where rows share nothing, as one reply a query of one shop does."""
        return cls([0] * num_rows, range(num_rows))

    def __len__(self) -> int:
        return len(self.shops)

    def take(self, rows: Sequence[int] | Indices) -> Units:
        """The units of some of the rows, by position."""
        return Units([self.shops[row] for row in rows], [self.dialogues[row] for row in rows])

    @cached_property
    def _shop_of_row(self) -> Indices:
        return _numbers(self.shops)

    @cached_property
    def _dialogue_of_row(self) -> Indices:
        return _numbers(list(zip(self._shop_of_row.tolist(), self.dialogues, strict=True)))

    def shops_and_dialogues(self, taking_part: npt.NDArray[np.bool_]) -> tuple[int | None, int]:
        """How many shops and dialogues have a row that takes part; None for shops where the rows know only one."""
        shops = len(np.unique(self._shop_of_row[taking_part])) if len(set(self.shops)) > 1 else None
        return shops, len(np.unique(self._dialogue_of_row[taking_part]))

    def resampled_counts(self, seed: int, resamples: int) -> Iterator[Values]:
        """Blocks (draws, rows) of how often every row came, `resamples` draws in all."""
        rng = np.random.default_rng(seed)
        block = max(1, _BLOCK_CELLS // max(1, len(self)))
        _, first = np.unique(self._dialogue_of_row, return_index=True)
        shop_of_dialogue = self._shop_of_row[first]
        num_shops = len(np.unique(shop_of_dialogue))
        for start in range(0, resamples, block):
            whole = np.ones((min(block, resamples - start), 1), dtype=np.int64)
            shops = _draw_members(rng, whole, np.zeros(num_shops, dtype=np.int64))
            dialogues = _draw_members(rng, shops, shop_of_dialogue)
            yield _draw_members(rng, dialogues, self._dialogue_of_row).astype(np.float64)


def _draw_members(rng: np.random.Generator, counts: Indices, owner: Indices) -> Indices:
    """How often each member came, where a unit that came c times draws c times its number of members.

    Args:
        rng: of the draws.
        counts: (draws, units), how often each unit came.
        owner: (members,), every member's unit.

    Returns:
        (draws, members)
    """
    sizes = np.bincount(owner, minlength=counts.shape[1])
    by_unit = np.argsort(owner, kind="stable")
    starts = np.cumsum(sizes) - sizes
    result = np.empty((len(counts), len(owner)), dtype=np.int64)
    # Units of one size draw together.
    for size in np.unique(sizes[sizes > 0]):
        units = np.flatnonzero(sizes == size)
        members = by_unit[starts[units][:, None] + np.arange(size)]
        came = counts[:, units]
        if size > 1:
            cell = np.repeat(np.arange(came.size), came.ravel() * size)
            drawn = cell * size + rng.integers(0, size, size=len(cell))
            result[:, members] = np.bincount(drawn, minlength=came.size * size).reshape(*came.shape, size)
        else:
            result[:, members[:, 0]] = came
    return result
