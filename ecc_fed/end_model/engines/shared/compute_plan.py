"""How a device computes what can be computed in several ways: the one place that asks which device it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """Choices that change speed and rounding, never meaning."""

    # From so many rows for each group on, a loop over groups beats one batched product; None: never.
    loop_from_rows: int | None
    # Sequences of an attention bucket differ in length by at most this factor: padding against kernel launches.
    bucket_ratio: float
    # The optimizer walks the bank's rows in slices of so many numbers, which a core's cache holds; None: whole.
    update_slice: int | None
    # Dropout masks are drawn by torch where they are wanted; else by numpy, several times faster on a CPU.
    masks_on_device: bool
    # Products with a quantized matrix, after dequantization; None: in the dtype of the activations.
    quantized_products: torch.dtype | None
    # Attention in the dtype of the base's products, which has the fast kernels; else in that of the activations.
    attention_in_product_dtype: bool
    # Replies by captured steps over a static cache, in the dtype of the base's products; else each step as it comes.
    captured_replies: bool

    def loops_over(self, groups: int, rows: int) -> bool:
        """Whether products of `rows` rows with a matrix for each group are a loop over the groups."""
        return self.loop_from_rows is not None and (groups == 1 or rows >= self.loop_from_rows * groups)


CPU = ComputePlan(
    loop_from_rows=24,
    bucket_ratio=1.15,
    update_slice=1 << 18,
    masks_on_device=False,
    quantized_products=None,
    attention_in_product_dtype=False,
    captured_replies=False,
)
GPU = ComputePlan(
    loop_from_rows=None,
    bucket_ratio=2.0,
    update_slice=None,
    masks_on_device=True,
    quantized_products=torch.bfloat16,
    attention_in_product_dtype=True,
    captured_replies=True,
)


def plan_for(device: torch.device) -> ComputePlan:
    """The plan of a device."""
    return CPU if device.type == "cpu" else GPU
