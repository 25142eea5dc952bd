"""Masks: numbers that look random, of a 32-byte seed, and vanish from the sum (Bonawitz et al. 2017, Sec. 4).

y_i = x_i + PRG(b_i) + sum over i's neighbours j of (+1 where i < j, else -1) PRG(s_ij), modulo a power of two.
PRG is ChaCha20's keystream under the whole seed: 256 bits.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from ecc_fed.privacy.secure_aggregation.keys import agreed, derived
from ecc_fed.privacy.secure_aggregation.quantisation import Words

_BYTES = 8


def keystream(seed: bytes, num_bytes: int) -> bytes:
    """ChaCha20's keystream under `seed`, 32 bytes; a seed makes one stream."""
    return Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor().update(bytes(num_bytes))


def mask(seed: bytes, count: int) -> Words:
    """PRG(seed): `count` numbers, each uniform modulo 2^64 and so modulo any lower power of two."""
    return np.frombuffer(keystream(seed, _BYTES * count), "<u8").astype(np.uint64, copy=False)


def self_mask_seed(self_seed: bytes, session: str) -> bytes:
    """The seed of PRG(b_i) in one session."""
    return derived(self_seed, f"self mask {session}")


def pair_mask_seed(mask_key: bytes, public: bytes, session: str, one: int, other: int) -> bytes:
    """The seed s_ij of two places, from the private key of one and the public of the other.

    Raises:
        ValueError: the public key is none.
    """
    return agreed(mask_key, public, f"pair mask {session} {min(one, other)} {max(one, other)}")


def add_pair_mask(numbers: Words, seed: bytes, own: int, other: int) -> None:
    """Puts what place `own` adds because of `other` into `numbers`; for the places the other way round it is undone."""
    if own < other:
        numbers += mask(seed, len(numbers))
    else:
        numbers -= mask(seed, len(numbers))
