"""Hand-written gradients of what happens to every row by itself."""

import torch

from ecc_fed.end_model.engines.shared.row_functions import rms_norm, swiglu, take_rows

from ...drawing import random


def test_hand_written_gradients_are_right():
    weight = random(6, seed=9)
    for function, x in (
        (lambda x: rms_norm(x, weight, 1e-5), random(4, 6)),
        (swiglu, random(3, 8)),
        (lambda x: take_rows(x, torch.tensor([0, 3])), random(4, 6)),
    ):
        assert torch.autograd.gradcheck(function, [x.requires_grad_()])


def test_values_are_those_of_plain_torch():
    x, weight = random(4, 6), random(6, seed=9)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), torch.nn.functional.rms_norm(x, (6,), weight, 1e-5))
    packed = random(3, 8)
    torch.testing.assert_close(swiglu(packed), torch.nn.functional.silu(packed[:, :4]) * packed[:, 4:])
    assert torch.equal(take_rows(x, torch.tensor([0, 3])), x[[0, 3]])
