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


def split_by_rows(costs: Sequence[int], rows: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first, each of at most so many rows."""
    order = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    return [order[start : start + rows] for start in range(0, len(order), rows)]


def split_in_order(costs: Sequence[int], budget_tokens: int) -> list[range]:
    """Successive indices in passes of at most `budget_tokens` together (or one row)."""
    passes: list[range] = []
    first, tokens = 0, 0
    for index, cost in enumerate(costs):
        if index > first and tokens + cost > budget_tokens:
            passes.append(range(first, index))
            first, tokens = index, 0
        tokens += cost
    return [*passes, range(first, len(costs))] if costs else passes
