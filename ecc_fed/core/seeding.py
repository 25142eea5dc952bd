"""Every random draw of a run comes from the run's seed, by name.

A stream is named by what it is for: `derive_seed(cfg.seed, "fine_tune", shop_id, server_round)`.
Streams of different names are independent, and adding a stream never moves another.
"""

import hashlib

import numpy as np


def derive_seed(seed: int, *path: str | int) -> int:
    """A 63-bit seed for the stream called `path`, by SHA-256 (stable over platforms and versions)."""
    name = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in path)])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def derive_rng(seed: int, *path: str | int) -> np.random.Generator:
    """A numpy generator for the stream called `path`."""
    return np.random.default_rng(derive_seed(seed, *path))


def adapter_seed(seed: int) -> int:
    """The seed of the fresh adapter that every shop of a run starts from, the same in every arm."""
    return derive_seed(seed, "adapter")
