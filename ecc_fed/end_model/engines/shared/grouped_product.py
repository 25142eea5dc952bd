"""Products of packed rows with a matrix for each group in one launch, in bf16.

Of two operands either both are split by rows into groups, or the second has a matrix for each group:

    a (N, d), b (groups, d, e) -> (N, e)                 rows of a meet their group's matrix
    a (e, N), b (N, d)         -> (groups, e, d)         columns of a meet rows of b, group by group

`ends` (groups,) int32 are the groups' ends along N.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

GroupedProduct = Callable[[Tensor, Tensor, Tensor], Tensor]


def grouped_plain(a: Tensor, b: Tensor, ends: Tensor) -> Tensor:
    """The two products, group by group: what the launches are held against."""
    bounds = [0, *ends.tolist()]
    parts = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    if b.dim() == 3:
        return torch.cat([a[part] @ matrix for part, matrix in zip(parts, b.unbind(), strict=True)])
    return torch.stack([a[:, part] @ b[part] for part in parts])


def grouped_by_torch() -> GroupedProduct | None:
    """torch's own, under the name that this release has for it; None: it has none."""
    function: Any = getattr(torch.nn.functional, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)
    return None if function is None else lambda a, b, ends: function(a, b, offs=ends)


def grouped_on_card(index: int) -> GroupedProduct | None:
    """torch's own where it is one launch; None where padded products are faster.

    torch has the kernel for compute capability 9 and 10 alone. For others it loops, and waits for the GPU to tell it
    the groups' sizes.
    """
    major, _ = torch.cuda.get_device_capability(index)
    return grouped_by_torch() if major in (9, 10) else None
