"""Arrays to test with."""

import numpy as np
import torch


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lively(shapes, seed=0):
    """An adapter off its start in every tensor."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
