"""Rotary embedding and attention of packed sequences."""

import pytest
import torch

from ecc_fed.end_model.engines.shared.attention import attend_packed, rotate
from ecc_fed.end_model.engines.shared.packing import pack
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...drawing import random
from ...tiny_models import build_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotating_back_undoes_a_rotation(interleaved):
    x, angle = random(2, 3, 4, 8), random(3, 3, seed=1)[:, None]
    turned = x.clone()
    rotate(turned, angle.cos(), angle.sin(), interleaved)
    assert not torch.allclose(turned, x)
    torch.testing.assert_close(turned[..., 6:], x[..., 6:])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    rotate(turned, angle.cos(), -angle.sin(), interleaved)
    torch.testing.assert_close(turned, x)


@pytest.mark.parametrize("family", ["llama", "glm"])
def test_padded_places_bear_no_gradient(family):
    """Sequences of one bucket, the shorter ones padded: values and gradients are those of each sequence alone."""
    base = take_apart(build_model(family).double(), CPU)
    lengths = [5, 7, 7, 6]
    packed = pack([[4] * length for length in lengths], [[0]] * 4, [4], [0], CPU)
    assert [bucket.length for bucket in packed.buckets] == [7]
    width = (base.heads + 2 * base.kv_heads) * base.head_dim
    qkv, dy = random(sum(lengths), width), random(sum(lengths), base.heads * base.head_dim, seed=1)
    cos, sin = (part[packed.positions][:, None] for part in base.angles(7))

    def run(rows, buckets, angles):
        leaf = rows.clone().requires_grad_()
        out = attend_packed(base, leaf * 1, angles, buckets, None, training=True)
        return leaf, out

    leaf, out = run(qkv, packed.buckets, (cos, sin))
    out.backward(dy)
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        alone = pack([[4] * length], [[0]], [1], [0], CPU)
        own, found = run(qkv[part], alone.buckets, tuple(each[:length, None] for each in base.angles(7)))
        found.backward(dy[part])
        torch.testing.assert_close(out[part], found)
        torch.testing.assert_close(leaf.grad[part], own.grad)
        start += length
