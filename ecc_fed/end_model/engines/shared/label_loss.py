"""The head and the loss in one, a slice of rows at a time, so that never more than a slice of logits is held."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.packed_base import cap_logits

# Logits held at once, in numbers.
_LOGITS = 1 << 24


class _LabelLoss(torch.autograd.Function):
    # The gradient to x is made on the way forward, while a slice's logits are at hand.
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        head: FrozenMatrix,
        targets: Tensor,
        weights: Tensor,
        slice_rows: int,
        cap: float | None,
    ) -> tuple[Tensor, Tensor]:
        losses = weights.new_empty(len(x))  # x may be narrower
        dx = torch.empty_like(x)
        for start in range(0, len(x), slice_rows):
            part = slice(start, start + slice_rows)
            logits = cap_logits(head.product(x[part]).to(weights.dtype), cap)
            # d/dz of cap tanh(z / cap), by its value.
            slope = None if cap is None else 1 - (logits / cap).square_()
            wanted = targets[part, None]
            log_total = logits.logsumexp(-1, keepdim=True)
            losses[part] = (log_total - logits.gather(-1, wanted))[:, 0]
            gradient = logits.sub_(log_total).exp_()
            gradient.scatter_add_(-1, wanted, gradient.new_full(wanted.shape, -1.0))
            if slope is not None:
                gradient.mul_(slope)
            dx[part] = head.transposed(gradient.mul_(weights[part, None]))
        ctx.save_for_backward(dx)
        ctx.mark_non_differentiable(losses)
        return torch.dot(losses, weights), losses

    @staticmethod
    def backward(ctx: Any, dsum: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (dx,) = ctx.saved_tensors
        return dx * dsum, *[None] * 5


def label_loss(
    x: Tensor,
    head: FrozenMatrix,
    targets: Tensor,
    weights: Tensor,
    slice_rows: int | None = None,
    cap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of -log p(target) over rows x (W, hidden), and each row's unweighted -log p.

    `slice_rows` are taken at once; None fits them to memory. `cap` bounds logits.
    """
    function: Any = _LabelLoss.apply
    total, losses = function(x, head, targets, weights, slice_rows or _rows_at_once(head), cap)
    return total, losses


def label_nll(
    x: Tensor, head: FrozenMatrix, targets: Tensor, slice_rows: int | None = None, cap: float | None = None
) -> Tensor:
    """Each row's -log p(target) (W,), without gradient."""
    losses = []
    slice_rows = slice_rows or _rows_at_once(head)
    for start in range(0, len(x), slice_rows):
        logits = cap_logits(head.product(x[start : start + slice_rows]), cap)
        wanted = targets[start : start + slice_rows, None]
        losses.append((logits.logsumexp(-1, keepdim=True) - logits.gather(-1, wanted))[:, 0])
    return torch.cat(losses)


def _rows_at_once(head: FrozenMatrix) -> int:
    return max(1, _LOGITS // head.d_out)
