"""Which rows share a pass."""

from __future__ import annotations

from collections.abc import Sequence


def split_by_length(costs: Sequence[int], budget_tokens: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first, each of `len * longest <= budget_tokens` (or one row)."""
    order = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    batches: list[list[int]] = []
    for index in order:
        if batches and (len(batches[-1]) + 1) * costs[batches[-1][0]] <= budget_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
