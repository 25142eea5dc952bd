"""Dirichlet shares, and sessions dealt by them with a minimum that is guaranteed.

Where a draw leaves a shop short, sessions move to it, chosen at random, from the shop that has most. Shops are
repaired, not drawn again: drawing until all are large enough favours even draws, that is another dirichlet_alpha than
was asked for, and at a small dirichlet_alpha never ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Owners = npt.NDArray[np.int64]


def draw_shares(num_shops: int, dirichlet_alpha: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(num_shops,) shares ~ Dir(alpha); where all underflow at a tiny alpha, one shop takes all, as in the limit."""
    shares = rng.dirichlet(np.full(num_shops, dirichlet_alpha))
    if not np.isfinite(shares).all() or shares.sum() <= 0:
        shares = np.eye(num_shops)[rng.integers(num_shops)]
    normalised: npt.NDArray[np.float64] = shares / shares.sum()
    return normalised


def deal(num_sessions: int, shares: npt.NDArray[np.float64], rng: np.random.Generator) -> Owners:
    """(num_sessions,) owners: a random order cut at the cumulated shares, so counts are the shares up to rounding."""
    owners = np.empty(num_sessions, dtype=np.int64)
    cuts = np.rint(np.cumsum(shares)[:-1] * num_sessions).astype(np.int64)
    for shop, part in enumerate(np.split(rng.permutation(num_sessions), cuts)):
        owners[part] = shop
    return owners


def fill_up(owners: Owners, num_shops: int, min_sessions: int, rng: np.random.Generator) -> int:
    """Moves as few sessions as needed so that every shop has `min_sessions`; returns how many moved."""
    sizes = np.bincount(owners, minlength=num_shops)
    moved = 0
    for shop in np.flatnonzero(sizes < min_sessions):
        while sizes[shop] < min_sessions:
            largest = int(sizes.argmax())
            # Down to the level of the next largest at most, never below the minimum.
            spare = max(1, (sizes[largest] - min_sessions) // 2)
            taken = rng.permutation(np.flatnonzero(owners == largest))[: min(spare, min_sessions - sizes[shop])]
            owners[taken] = shop
            sizes[largest] -= len(taken)
            sizes[shop] += len(taken)
            moved += len(taken)
    return moved
