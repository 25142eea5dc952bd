"""The shared engine's parts against plain torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared.attention import rotate
from ecc_fed.end_model.engines.shared.dropout import Dropout
from ecc_fed.end_model.engines.shared.forward import forward_packed
from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.label_loss import label_loss, label_nll
from ecc_fed.end_model.engines.shared.packing import pack
from ecc_fed.end_model.engines.shared.row_functions import rms_norm, swiglu, take_rows
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...tiny_models import build_model

CPU = torch.device("cpu")


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.booleans(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_grouped_products_equal_a_loop_over_groups_either_way(sizes, loop, shift):
    rows = [(index * 2 + shift) % 12 for index in range(len(sizes))]
    groups = Groups(rows, sizes, CPU, loop=loop)
    x, h, w = random(sum(sizes), 5), random(sum(sizes), 3, seed=1), random(12, 3, 5, seed=2)
    parts = list(zip(rows, x.split(sizes), h.split(sizes), strict=True))
    torch.testing.assert_close(groups.project(x, w), torch.cat([part @ w[row].t() for row, part, _ in parts]))
    added = x.clone()
    groups.add_back(added, h, w)
    torch.testing.assert_close(added, torch.cat([part + small @ w[row] for row, part, small in parts]))
    out = torch.empty(len(sizes), 3, 5, dtype=x.dtype)
    groups.outer(h, x, out)
    torch.testing.assert_close(out, torch.stack([small.t() @ part for _, part, small in parts]))
    values = random(12)
    torch.testing.assert_close(
        groups.expand(values)[:, 0], torch.cat([values[r].expand(s) for r, s in zip(rows, sizes, strict=True)])
    )


def test_hand_written_gradients_are_right():
    def check(function, *inputs):
        leaves = [part.requires_grad_() if part.is_floating_point() else part for part in inputs]
        assert torch.autograd.gradcheck(function, leaves)

    weight = random(6, seed=9)
    check(lambda x: rms_norm(x, weight, 1e-5), random(4, 6))
    check(swiglu, random(3, 8))
    check(lambda x: take_rows(x, torch.tensor([0, 3])), random(4, 6))
    head = FrozenMatrix(random(11, 6, seed=3), (), None, torch.float64)
    targets, weights = torch.tensor([1, 10, 0, 4]), random(4, seed=5).abs()
    check(lambda x: label_loss(x, head, targets, weights, 3)[0], random(4, 6))


def test_the_loss_equals_torchs_cross_entropy_in_slices_of_any_size():
    x, weight = random(5, 6), random(11, 6, seed=3)
    targets, weights = torch.tensor([1, 10, 0, 4, 4]), random(5, seed=5).abs()
    expected = torch.nn.functional.cross_entropy(x @ weight.t(), targets, reduction="none")
    for slice_rows in (1, 2, 5, 99):
        head = FrozenMatrix(weight, (), None, torch.float64)
        total, losses = label_loss(x, head, targets, weights, slice_rows)
        torch.testing.assert_close(losses, expected)
        torch.testing.assert_close(total, (expected * weights).sum())
        torch.testing.assert_close(label_nll(x, head, targets, slice_rows), expected)


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


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "glm"])
def test_a_packed_pass_equals_transformers_on_every_sequence(family):
    model = build_model(family).eval()
    sequences = [list(range(5, 5 + length)) for length in (3, 40, 4, 17, 40, 1)]
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([s])).logits[0] for s in sequences])
    base = take_apart(model, CPU)
    wanted = [range(len(s)) for s in sequences]
    packed = pack(sequences, wanted, [2, 4], [0, 1], CPU)
    with torch.no_grad():
        logits = base.head.product(forward_packed(base, packed, None))
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_shops_masks_are_its_own_whoever_shares_the_batch(on_device):
    together, alone = (Dropout(0.25, seeds, CPU, on_device) for seeds in ([5, 6, 7], [6]))
    for sizes, d_in, projections in (([3, 4, 2], 5, 2), ([1, 6, 2], 7, 1)):
        masks = together.masks(sizes, d_in, projections)
        own = alone.masks([sizes[1]], d_in, projections)
        for whole, part in zip(masks, own, strict=True):
            assert torch.equal(whole[sizes[0] : sizes[0] + sizes[1]], part)
    together.select([1])
    assert torch.equal(together.masks([4], 3, 1)[0], alone.masks([4], 3, 1)[0])


@pytest.mark.parametrize("on_device", [False, True])
def test_masks_drop_at_their_rate_and_keep_the_mean(on_device):
    dropout = Dropout(0.1, [0], CPU, on_device)
    mask = dropout.masks([400], 500, 1)[0].double()
    assert mask.mean().item() == pytest.approx(0.9, abs=0.003)
    assert mask.mean().item() * dropout.keep_scale == pytest.approx(1, abs=0.004)
    assert np.unique(mask).tolist() == [0, 1]


def test_bf16_products_keep_activations_in_fp32(llama):
    model = load_base(llama, device="cpu").model
    base = take_apart(model, CPU, torch.bfloat16)
    assert base.head.weight().dtype == torch.bfloat16 and base.dtype == torch.float32
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    matrix = base.layers[0].attention_in.matrix
    product = matrix.product(x)
    assert product.dtype == torch.float32
    torch.testing.assert_close(product, x @ matrix.weight().float().t(), atol=0.05, rtol=0.02)
