"""What fused kernels must equal: `python -m tests.end_model.engines.shared.kernel_checks cpu|cuda`."""

import sys

import torch

from ecc_fed.end_model.engines.shared.counted_masks import MaskKey
from ecc_fed.end_model.engines.shared.row_functions import PLAIN
from ecc_fed.end_model.engines.shared.row_kernels import FUSED

# Of the largest number; bf16 has 8 bits.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-7}


def compare(name, plain, fused, dtype):
    for one, other in zip(plain, fused, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape, name
        off = float((one.double() - other.double()).abs().max() / one.double().abs().max())
        assert off <= TOLERANCE[dtype], f"{name} in {dtype} is {off:.2g} of the largest off"
    print(name, dtype)


def differentiated(function, x, dy):
    """Value and gradient."""
    leaf = x.clone().requires_grad_()
    y = function(leaf * 1)
    value = y.detach().clone()
    y.backward(dy)
    return value, leaf.grad


def check(device):
    generator = torch.Generator().manual_seed(0)

    def random(*size):
        return torch.randn(*size, generator=generator)

    for dtype in (torch.float32, torch.bfloat16):
        for rows, width in ((1, 8), (5, 1500), (3, 40)):
            packed, dy = (random(rows, n).to(device, dtype) for n in (2 * width, width))
            compare("swiglu", *(differentiated(way.swiglu, packed, dy) for way in (PLAIN, FUSED)), dtype)
        for shape in ((3, 40), (2, 3, 12), (4, 1025)):
            x, dy, weight = (random(*s).to(device) for s in (shape, shape, shape[-1:]))
            x, dy = x.to(dtype), dy.to(dtype)
            compare(
                "rms_norm",
                *(differentiated(lambda t, w=way: w.rms_norm(t, weight, 1e-5), x, dy) for way in (PLAIN, FUSED)),  # noqa: B023
                dtype,
            )
        for interleaved in (False, True):
            # Of seven heads the first five are rotated, and of 16 dims the first 12, as GLM's.
            whole, angle = random(6, 7, 16).to(device, dtype), random(6, 6).to(device)[:, None]
            turned = [whole.clone() for _ in range(2)]
            for way, x in zip((PLAIN, FUSED), turned, strict=True):
                way.rotate(x[:, :5], angle.cos(), angle.sin(), interleaved)
            compare("rotate", [turned[0]], [turned[1]], dtype)
        for rows, width in ((3, 40), (2, 2051)):
            seeds = torch.tensor([(1 << 62) + 5, 7, 7 << 33][:rows], device=device)
            key = MaskKey(seeds, torch.arange(rows, dtype=torch.int32, device=device), 67, 3, 6554)
            x, into = (random(rows, width).to(device, dtype) for _ in range(2))
            compare("drop", [PLAIN.drop(x, key)], [FUSED.drop(x, key)], dtype)
            assert torch.equal(PLAIN.drop(x, key) == 0, FUSED.drop(x, key) == 0), "the very same elements"
            both = [into.clone() for _ in range(2)]
            for way, each in zip((PLAIN, FUSED), both, strict=True):
                way.add_dropped(each, x, key)
            compare("add_dropped", [both[0]], [both[1]], dtype)


if __name__ == "__main__":
    check(torch.device(sys.argv[1]))
    print("all equal")
