"""The head and the loss in slices."""

import torch

from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.label_loss import label_loss, label_nll

from ...drawing import random


def test_the_loss_equals_torchs_cross_entropy_in_slices_of_any_size():
    x, weight = random(5, 6), random(11, 6, seed=3)
    targets, weights = torch.tensor([1, 10, 0, 4, 4]), random(5, seed=5).abs()
    expected = torch.nn.functional.cross_entropy(x @ weight.t(), targets, reduction="none")
    for slice_rows in (1, 2, 5, 99, None):
        head = FrozenMatrix(weight, (), None, torch.float64)
        total, losses = label_loss(x, head, targets, weights, slice_rows)
        torch.testing.assert_close(losses, expected)
        torch.testing.assert_close(total, (expected * weights).sum())
        torch.testing.assert_close(label_nll(x, head, targets, slice_rows), expected)


def test_the_hand_written_gradient_is_right():
    head = FrozenMatrix(random(11, 6, seed=3), (), None, torch.float64)
    targets, weights = torch.tensor([1, 10, 0, 4]), random(4, seed=5).abs()
    for slice_rows in (3, 99):
        loss = lambda x, rows=slice_rows: label_loss(x, head, targets, weights, rows)[0]  # noqa: E731
        assert torch.autograd.gradcheck(loss, [random(4, 6).requires_grad_()])
