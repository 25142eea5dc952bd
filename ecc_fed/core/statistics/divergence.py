"""How unlike its fellows each of several sources of tokens is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecc_fed.core.statistics.units import Indices, Values

# With fewer tokens a distribution is mostly chance.
LEAST_TOKENS = 200
DRAWS = 10


def unlikeness(
    sources: Sequence[Indices], rng: np.random.Generator, *, least: int = LEAST_TOKENS, draws: int = DRAWS
) -> list[float | None]:
    """Jensen-Shannon divergence, in bits, of each source's tokens from the even mixture of all others'.

        JSD(p, q) = KL(p || m) / 2 + KL(q || m) / 2,  m = (p + q) / 2

    (Lin 1991), from 0 for equal distributions to 1 for such as share no token. Few tokens look more unlike than many
    of the same source do; so every source is taken at the size of the smallest one, drawn without replacement, and the
    result is the mean over the draws.

    Args:
        sources: each (tokens,), token numbers from 0, as often as they occur, in any order.
        rng: of the draws.
        least: a source of fewer tokens takes no part.
        draws: how often all are drawn.

    Returns:
        A figure for every source; None for one that takes no part, and for all where fewer than two do.
    """
    taking_part = [place for place, tokens in enumerate(sources) if len(tokens) >= least]
    result: list[float | None] = [None] * len(sources)
    if len(taking_part) < 2:
        return result
    size = min(len(sources[place]) for place in taking_part)
    vocabulary = 1 + max(int(sources[place].max()) for place in taking_part)
    found = np.zeros(len(taking_part))
    for _ in range(draws):
        drawn = [_shares(rng.choice(sources[place], size, replace=False)) for place in taking_part]
        together = np.zeros(vocabulary)
        for tokens, shares in drawn:
            together[tokens] += shares
        for number, (tokens, shares) in enumerate(drawn):
            # What is left of a sum after its own part was taken away may miss zero by a rounding.
            others = np.maximum(together[tokens] - shares, 0.0) / (len(drawn) - 1)
            found[number] += _jensen_shannon(shares, others) / draws
    for place, figure in zip(taking_part, found, strict=True):
        result[place] = float(figure)
    return result


def _shares(tokens: Indices) -> tuple[Indices, Values]:
    """The different tokens, and the share of each."""
    different, counts = np.unique(tokens, return_counts=True)
    return different, counts / len(tokens)


def _jensen_shannon(own: Values, others: Values) -> float:
    """JSD in bits from both shares of one's own tokens alone: whatever the others have beside these counts whole."""
    middle = (own + others) / 2
    both = others > 0
    of_own = own @ np.log2(own / middle)
    of_others = others[both] @ np.log2(others[both] / middle[both]) + 1 - others.sum()
    return float(np.clip((of_own + of_others) / 2, 0.0, 1.0))
