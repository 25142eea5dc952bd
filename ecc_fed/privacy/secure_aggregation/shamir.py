"""Shamir's secret sharing (1979): of a secret's shares any `threshold` give it back, and fewer say nothing of it.

f(x) = secret + c_1 x + ... + c_(t-1) x^(t-1) over the whole numbers modulo PRIME; a share is f at its holder's point.
Written here, as the shares of `flwr.common.secure_aggregation` come from the system's entropy alone and would make no
run that repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

# The least prime above 2^256: every secret of 32 bytes is less.
PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
# A coefficient is drawn from so many bytes: modulo PRIME they are uniform to within 2^-127.
_DRAWN_BYTES = 48


def drawn_bytes(threshold: int) -> int:
    """How many random bytes `split` takes."""
    return (threshold - 1) * _DRAWN_BYTES


def split(secret: bytes, threshold: int, points: Sequence[int], drawn: bytes) -> dict[int, int]:
    """The secret's shares by point.

    Args:
        secret: 32 bytes.
        threshold: how many shares give it back, at most as many as there are points.
        points: of the holders, from 1.
        drawn: random bytes, `drawn_bytes(threshold)` of them.
    """
    parts = [drawn[start : start + _DRAWN_BYTES] for start in range(0, drawn_bytes(threshold), _DRAWN_BYTES)]
    coefficients = [int.from_bytes(part, "little") % PRIME for part in parts]
    shares = {}
    for point in points:
        value = 0
        for coefficient in coefficients:  # Horner's rule, the highest first
            value = (value + coefficient) * point % PRIME
        shares[point] = (value + int.from_bytes(secret, "little")) % PRIME
    return shares


def combine(shares: Mapping[int, int]) -> bytes:
    """The secret, from at least a threshold of its shares by point: f(0) by Lagrange's formula.

    Raises:
        ValueError: they are no shares of any one secret of 32 bytes.
    """
    points = tuple(sorted(shares))
    secret = sum(shares[point] * weight for point, weight in zip(points, _lagrange(points), strict=True)) % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise ValueError("the shares are of no one secret")
    return secret.to_bytes(SECRET_BYTES, "little")


@lru_cache(maxsize=1024)
def _lagrange(points: tuple[int, ...]) -> tuple[int, ...]:
    """What each point's share counts at 0: the product of x_j / (x_j - x_i) over all others."""
    weights = []
    for own in points:
        above, below = 1, 1
        for other in points:
            if other != own:
                above, below = above * other % PRIME, below * (other - own) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)
