"""How a device computes what can be computed in several ways: the one place that asks which device it is."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace

import torch

from ecc_fed.end_model.engines.shared import row_functions
from ecc_fed.end_model.engines.shared.grouped_product import GroupedProduct, grouped_on_card, grouped_plain
from ecc_fed.end_model.engines.shared.row_functions import RowFunctions
from ecc_fed.end_model.engines.shared.varlen import Varlen, varlen_on_card, varlen_plain

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """Choices that change speed and rounding, never meaning."""

    # From so many rows for each group on, a loop over groups beats one batched product; None: never.
    loop_from_rows: int | None
    # Sequences of an attention bucket differ in length by at most this factor: padding against kernel launches.
    bucket_ratio: float
    # The optimizer walks the bank's rows in slices of so many numbers, which bounds its scratch memory.
    update_slice: int
    # Dropout masks are a function of a counter, drawn again where they are wanted again; else of the shops' streams.
    counted_dropout: bool
    # Products with a quantized matrix, after dequantization; None: in the dtype of the activations.
    quantized_products: torch.dtype | None
    # Attention in the dtype of the base's products, which has the fast kernels; else in that of the activations.
    attention_in_product_dtype: bool
    # Training's activations in the dtype of the base's products; else all in that of adapters and norms.
    narrow_training: bool
    # Ranks are padded with zeros to a multiple of this.
    rank_multiple: int
    # Training's adapter products of all groups in one launch, and attention of all sequences in one, both for
    # activations of one of the dtypes `one_launch`. None, and other dtypes: `Groups`' own ways, and bucket by bucket.
    grouped: GroupedProduct | None
    varlen: Varlen | None
    one_launch: tuple[torch.dtype, ...]
    # Dense fp32 matrices of so many numbers or more are read from memory at every step of replies, which is then what a
    # step takes: they lie by columns, and more rows share a step. None: none do.
    uncached_from: int | None
    # Bytes that a pass of fine-tuning may keep on its way forward where nothing is measured; None: any number.
    kept_bytes: int | None
    # A host sizes the passes of fine-tuning by what they take of memory, which this device counts exactly.
    measured_passes: bool
    # What happens to every row by itself in training.
    rows: RowFunctions
    # Replies by captured steps over a static cache, in the dtype of the base's products; else each step as it comes.
    captured_replies: bool

    def loops_over(self, groups: int, rows: int) -> bool:
        """Whether products of `rows` rows with a matrix for each group are a loop over the groups."""
        return self.loop_from_rows is not None and (groups == 1 or rows >= self.loop_from_rows * groups)


CPU = ComputePlan(
    loop_from_rows=24,
    bucket_ratio=1.15,
    update_slice=1 << 18,  # a core's cache holds it
    counted_dropout=False,
    quantized_products=None,
    attention_in_product_dtype=False,
    narrow_training=False,
    rank_multiple=1,
    grouped=None,
    varlen=None,
    one_launch=(),
    uncached_from=1 << 20,
    kept_bytes=1 << 31,
    measured_passes=False,
    rows=row_functions.PLAIN,
    captured_replies=False,
)
# A GPU's way by plain torch operations, which any device can take: what the kernels of `gpu_plan` are held against.
GPU_PLAIN = ComputePlan(
    loop_from_rows=None,
    bucket_ratio=2.0,
    update_slice=1 << 25,
    counted_dropout=True,
    quantized_products=torch.bfloat16,
    attention_in_product_dtype=True,
    narrow_training=True,
    rank_multiple=8,  # grouped products read 16 bytes at a time
    grouped=grouped_plain,
    varlen=varlen_plain,
    one_launch=(torch.bfloat16, torch.float32, torch.float64),
    uncached_from=None,
    kept_bytes=None,
    measured_passes=True,
    rows=row_functions.PLAIN,
    captured_replies=True,
)


def plan_for(device: torch.device) -> ComputePlan:
    """The plan of a device."""
    return CPU if device.type == "cpu" else gpu_plan(device.index or 0)


@functools.cache
def gpu_plan(index: int) -> ComputePlan:
    """`GPU_PLAIN` by the kernels that this GPU and this torch have."""
    try:
        from ecc_fed.end_model.engines.shared.row_kernels import FUSED
    except ImportError as error:
        _LOG.warning("training on a GPU without fused kernels, which is slower: triton cannot be imported (%s)", error)
        rows = row_functions.PLAIN
    else:
        rows = FUSED
    return replace(
        GPU_PLAIN, grouped=grouped_on_card(index), varlen=varlen_on_card(), one_launch=(torch.bfloat16,), rows=rows
    )
