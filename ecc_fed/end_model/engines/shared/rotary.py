"""Rotary embedding (Su et al. 2021)."""

from __future__ import annotations

from torch import Tensor


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> None:
    """Rotary embedding (Su et al. 2021) in place over the first dims of x (..., heads, head_dim).

    cos, sin broadcast to (..., 1, dims / 2); the backward pass is the same with -sin.
    """
    half = cos.shape[-1]
    if interleaved:
        first, second = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
    else:
        first, second = x[..., :half], x[..., half : 2 * half]
    if x.dtype != cos.dtype:
        turned, other = first * cos - second * sin, second * cos + first * sin
        first.copy_(turned)
        second.copy_(other)
        return
    turned = (first * cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).addcmul_(first, sin)
    first.copy_(turned)
