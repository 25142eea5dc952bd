"""Who shares masks with whom: a random graph in which every shop has k neighbours (Bell et al. 2020, Sec. 3).

The shops stand in a drawn order on a circle, and each is joined to the k / 2 nearest on either side (a Harary graph).
"""

from __future__ import annotations

import math
from itertools import count as counting

import numpy as np

# Up to so many others everybody is everybody's neighbour. From there on also the graph of those who neither collude nor
# drop out stays in one piece: it breaks only where 32 shops in a row do.
_ALL_UP_TO = 64
# One shop in so many may pool what it knows with the server,
_COLLUDES_ONE_IN = 5
# and any neighbourhood then holds a threshold of them with a probability of at most 2^-40.
_SECURITY_BITS = 40


def neighbourhoods(count: int, neighbours: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """By place, 0 to `count` - 1, the places of its neighbours, ascending; whoever is a neighbour has it as one.

    Args:
        count: of shops.
        neighbours: k: even, or all others.
        rng: draws the order on the circle.
    """
    if neighbours >= count - 1:
        return [tuple(other for other in range(count) if other != place) for place in range(count)]
    circle = [int(place) for place in rng.permutation(count)]
    found: dict[int, tuple[int, ...]] = {}
    for position, place in enumerate(circle):
        steps = [step for step in range(-(neighbours // 2), neighbours // 2 + 1) if step]
        found[place] = tuple(sorted(circle[(position + step) % count] for step in steps))
    return [found[place] for place in range(count)]


def derived_neighbours(count: int, threshold: float) -> int:
    """The k for `count` shops: all others up to 64, then the least even one of 64 or more that is safe.

    Safe: were one shop in five to collude, drawn at random, no neighbourhood of any other shop would hold a threshold
    of these, but for a probability of 2^-40 (hypergeometric, times the number of shops).

    Args:
        count: of shops.
        threshold: the share of a neighbourhood, the shop itself included, that brings its secrets back.
    """
    if count - 1 <= _ALL_UP_TO:
        return max(count - 1, 0)
    others, colluders = count - 1, count // _COLLUDES_ONE_IN
    for neighbours in counting(_ALL_UP_TO, 2):
        if neighbours >= others:
            return others
        needed = math.ceil(threshold * (neighbours + 1))
        ways = sum(
            math.comb(colluders, held) * math.comb(others - colluders, neighbours - held)
            for held in range(needed, min(neighbours, colluders) + 1)
        )
        if (count * ways) << _SECURITY_BITS <= math.comb(others, neighbours):
            return neighbours
    raise AssertionError("counting has no end")
