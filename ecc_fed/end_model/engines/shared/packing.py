"""A packed batch: sequences one after the other, without padding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.uploads import upload
from ecc_fed.end_model.training.examples import EncodedExample


@dataclass(slots=True)
class Bucket:
    """Sequences of similar length, for one attention kernel."""

    sequences: Tensor  # which sequences of the batch (S,)
    length: int
    gather: Tensor | slice  # (S * length,): the packed row behind every place; pads point at their sequence's first
    places: Tensor | None  # the places that are real, in order; None if all are
    tokens: Tensor | slice  # the packed rows behind the real places


# From every group's bank row and how many packed rows it has.
MakeGroups = Callable[[Sequence[int], Sequence[int]], Groups]


@dataclass
class Packed:
    """Sequences one after the other, split into adapter groups; `wanted` are the rows whose outputs count."""

    ids: Tensor  # (N,)
    positions: Tensor  # (N,), from 0 in every sequence
    lengths: list[int]
    groups: Groups
    wanted: Tensor  # (W,) ascending
    wanted_groups: Groups

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)

    @cached_property
    def buckets(self) -> list[Bucket]:
        """The sequences in buckets of similar length."""
        return _buckets(self.lengths, np.concatenate([[0], np.cumsum(self.lengths)]), self.ids.device)

    @cached_property
    def bounds(self) -> Tensor:
        """Where sequences start and end in the packed rows (sequences + 1,), int32."""
        return upload([0, *itertools.accumulate(self.lengths)], self.ids.device, torch.int32)


def pack(
    sequences: Sequence[Sequence[int]],
    wanted: Sequence[Sequence[int]],
    group_sizes: Sequence[int],
    rows: Sequence[int],
    device: torch.device,
    make_groups: MakeGroups | None = None,
) -> Packed:
    """Packs sequences.

    Args:
        sequences: token ids of each.
        wanted: the positions of each whose outputs are wanted, at least one.
        group_sizes: how many successive sequences each adapter group has.
        rows: each group's bank row.
        device: where the packed rows are wanted.
        make_groups: None makes plain `Groups`.
    """
    make_groups = make_groups or partial(Groups, device=device)
    lengths = [len(sequence) for sequence in sequences]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = upload(np.concatenate([np.asarray(s, np.int64) for s in sequences]), device)
    rows_wanted = np.concatenate([start + np.asarray(w, np.int64) for start, w in zip(starts, wanted, strict=False)])
    token_sizes, wanted_sizes, first = [], [], 0
    for size in group_sizes:
        token_sizes.append(sum(lengths[first : first + size]))
        wanted_sizes.append(sum(len(w) for w in wanted[first : first + size]))
        first += size
    return Packed(
        ids,
        upload(np.concatenate([np.arange(length) for length in lengths]), device),
        lengths,
        make_groups(rows, token_sizes),
        upload(rows_wanted, device),
        make_groups(rows, wanted_sizes),
    )


def pack_examples(
    examples: Sequence[EncodedExample],
    group_sizes: Sequence[int],
    rows: Sequence[int],
    device: torch.device,
    make_groups: MakeGroups | None = None,
) -> tuple[Packed, Tensor]:
    """Packs examples; also the targets (W,) of the wanted outputs, of which that at position i predicts token i + 1."""
    wanted = [range(example.prompt_length - 1, len(example.ids) - 1) for example in examples]
    packed = pack([example.ids for example in examples], wanted, group_sizes, rows, device, make_groups)
    labels = [token for example in examples for token in example.ids[example.prompt_length :]]
    return packed, upload(labels, device)


def _buckets(lengths: Sequence[int], starts: Any, device: torch.device) -> list[Bucket]:
    ratio = plan_for(device).bucket_ratio
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    runs: list[list[int]] = []
    for index in order:
        if runs and lengths[index] <= max(lengths[runs[-1][0]] * ratio, lengths[runs[-1][0]] + 4):
            runs[-1].append(index)
        else:
            runs.append([index])
    buckets = []
    for run in runs:
        length = lengths[run[-1]]
        if len(run) == 1:
            whole = slice(int(starts[run[0]]), int(starts[run[0]]) + length)
            buckets.append(Bucket(torch.tensor(run, device=device), length, whole, None, whole))
            continue
        own = np.array([lengths[index] for index in run])
        begin = np.array([starts[index] for index in run])
        places = np.arange(length)[None]
        real = places < own[:, None]
        gather = begin[:, None] + np.where(real, places, 0)
        tokens = torch.from_numpy(gather[real]).to(device)
        full = bool(real.all())
        flat = torch.from_numpy(np.flatnonzero(real)).to(device)
        buckets.append(
            Bucket(
                torch.tensor(run, device=device),
                length,
                tokens if full else torch.from_numpy(gather.reshape(-1)).to(device),
                None if full else flat,
                tokens,
            )
        )
    return buckets
