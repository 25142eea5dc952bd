"""One low-rank pair, drawn."""

import numpy as np

A, B = "m.q_proj.lora_A.weight", "m.q_proj.lora_B.weight"


def pair(rng: np.random.Generator, d_out: int, d_in: int, rank: int) -> dict[str, np.ndarray]:
    return {
        A: rng.standard_normal((rank, d_in)).astype(np.float32),
        B: rng.standard_normal((d_out, rank)).astype(np.float32),
    }
