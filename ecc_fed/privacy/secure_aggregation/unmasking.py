"""The server's side of SecAgg+, but for the messages: from masked numbers and shares to the sum, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ecc_fed.privacy.secure_aggregation import masks, shamir
from ecc_fed.privacy.secure_aggregation.keys import public_key
from ecc_fed.privacy.secure_aggregation.messages import PublicKeys
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation, Words


class NotUnmasked(ValueError):
    """The sum stays hidden: the text says why, in one line."""


def too_few_left(neighbours: Sequence[Sequence[int]], there: Iterable[int], threshold: int) -> str | None:
    """Why nobody could unmask, with these places left; None where all secrets of those left could come back.

    Args:
        neighbours: by place.
        there: who is left.
        threshold: how many shares give a secret back.
    """
    left = frozenset(there)
    for place in sorted(left):
        held = 1 + len(left.intersection(neighbours[place]))
        if held < threshold:
            of = len(neighbours[place]) + 1
            return f"of a neighbourhood of {of} shops {held} are left, and {threshold} are needed"
    return None


def unmasked(
    total: Words,
    session: str,
    survivors: Sequence[int],
    dropped: Sequence[int],
    neighbours: Sequence[Sequence[int]],
    keys: Mapping[int, PublicKeys],
    threshold: int,
    shares: Mapping[int, Mapping[int, int]],
    quantisation: Quantisation,
) -> Words:
    """The sum of the survivors' numbers, modulo the modulus.

    Args:
        total: the sum of their masked numbers.
        session: which.
        survivors: the places in it.
        dropped: places that gave out shares and sent no numbers: the survivors have masked for them too.
        neighbours: by place, of the whole graph.
        keys: public, by place.
        threshold: how many shares give a secret back.
        shares: by place, of a survivor's self seed or of a dropped one's mask key, by point.
        quantisation: of the numbers.

    Raises:
        NotUnmasked: fewer shares of a secret than its threshold, or some that do not fit together.
    """
    result, there = total.copy(), frozenset(survivors)
    for place in survivors:
        seed = _secret(place, shares, threshold)
        result -= masks.mask(masks.self_mask_seed(seed, session), len(result))
    for place in dropped:
        masked_for = [other for other in neighbours[place] if other in there]
        if not masked_for:
            continue
        mask_key = _secret(place, shares, threshold)
        if public_key(mask_key) != keys[place].mask:
            raise NotUnmasked("the shares of a dropped shop's mask key do not give that key")
        for other in masked_for:
            seed = masks.pair_mask_seed(mask_key, keys[other].mask, session, place, other)
            # What the dropped shop would have added cancels what the other has.
            masks.add_pair_mask(result, seed, place, other)
    return quantisation.reduced(result)


def _secret(place: int, shares: Mapping[int, Mapping[int, int]], threshold: int) -> bytes:
    held = shares.get(place, {})
    if len(held) < threshold:
        raise NotUnmasked(f"{len(held)} shares of a secret came, and {threshold} are needed")
    some = dict(sorted(held.items())[:threshold])
    try:
        return shamir.combine(some)
    except ValueError as error:
        raise NotUnmasked(str(error)) from error


def added(parts: Iterable[Words]) -> Words:
    """Their sum modulo 2^64.

    Raises:
        NotUnmasked: there is none.
    """
    total: Words | None = None
    for part in parts:
        total = part.copy() if total is None else np.add(total, part, out=total)
    if total is None:
        raise NotUnmasked("no shop sent an update")
    return total
