"""Hand-written gradients of what happens to every row by itself."""

import torch
from transformers.activations import ACT2FN

from ecc_fed.end_model.engines.shared.row_functions import GATED, geglu, rms_norm, swiglu, take_rows

from ...drawing import random


def test_hand_written_gradients_are_right():
    weight = random(6, seed=9)
    for function, x in (
        (lambda x: rms_norm(x, weight, 1e-5), random(4, 6)),
        (swiglu, random(3, 8)),
        (geglu, random(3, 8)),
        (lambda x: take_rows(x, torch.tensor([0, 3])), random(4, 6)),
    ):
        assert torch.autograd.gradcheck(function, [x.requires_grad_()])


def test_values_are_those_of_plain_torch():
    x, weight = random(4, 6), random(6, seed=9)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), torch.nn.functional.rms_norm(x, (6,), weight, 1e-5))
    packed = random(3, 8)
    torch.testing.assert_close(swiglu(packed), torch.nn.functional.silu(packed[:, :4]) * packed[:, 4:])
    gelu = torch.nn.functional.gelu(packed[:, :4], approximate="tanh")
    torch.testing.assert_close(geglu(packed), gelu * packed[:, 4:])
    assert torch.equal(take_rows(x, torch.tensor([0, 3])), x[[0, 3]])


def test_activations_go_by_transformers_names():
    packed = random(3, 8)
    for name, gated in GATED.items():
        torch.testing.assert_close(gated(packed), ACT2FN[name](packed[:, :4]) * packed[:, 4:])


def test_narrow_rows_are_normed_in_the_precision_of_the_weights():
    x, weight, dy = random(4, 64).bfloat16(), random(64, seed=9).float(), random(4, 64, seed=3).bfloat16()
    narrow, wide = x.clone().requires_grad_(), x.float().requires_grad_()
    found, exact = rms_norm(narrow, weight, 1e-5), rms_norm(wide, weight, 1e-5)
    assert found.dtype == torch.bfloat16 and torch.equal(found, exact.bfloat16())
    found.backward(dy)
    exact.backward(dy.float())
    torch.testing.assert_close(narrow.grad, wide.grad.bfloat16())
