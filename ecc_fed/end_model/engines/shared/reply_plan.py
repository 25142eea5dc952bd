"""How replies are made on a device: the one place that chooses.

On a CPU a batch has a cache of its own, and every step is computed as it comes. On a GPU steps are captured, over a
base that is dequantized once a call where the memory holds it, and at every step where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.engines.shared.dense_base import dense_bytes, pass_bytes, token_bytes
from ecc_fed.end_model.engines.shared.packed_base import PackedBase

_GIB = 2**30
# Of free memory, what pieces too small for anything do not make useless.
_USABLE = 0.9
# The most rows of one step, and those for which a cache must be left beside a dequantized base.
MOST_ROWS = 256
_WANTED_ROWS = 64


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    """Replies by captured steps.

    Attributes:
        dtype: of activations, products and cached keys and values.
        dense: the base is dequantized once a call; else at every step.
        cached_tokens: places of a call's cache: rows times the longest of them.
        reason: why, for the run's record.
    """

    dtype: torch.dtype
    dense: bool
    cached_tokens: int
    reason: str

    def rows_at_once(self, longest: int) -> int:
        """Rows of one batch, the longest of a call having so many tokens."""
        return max(1, min(MOST_ROWS, self.cached_tokens // longest))


def plan_replies(base: PackedBase, longest: int, pass_tokens: int) -> ReplyPlan | None:
    """What suits the base's device; None: every batch by itself, each step as it comes.

    Args:
        base: resident on its device, and nothing else of size.
        longest: tokens of the longest prompt with its reply.
        pass_tokens: that prompts are read in at once.
    """
    if not plan_for(base.device).captured_replies:
        return None
    return plan_within(base, longest, pass_tokens, free_gpu_bytes(base.device))


def plan_within(base: PackedBase, longest: int, pass_tokens: int, free_bytes: int) -> ReplyPlan:
    """Dequantized once a call if that leaves a cache for 64 rows; half of what is left is for the cache.

    The other half is for the rows' adapters. The number of tokens is a power of two, so that runs on one card, whose
    free memory differs a little, have the same batches.
    """
    dtype = base.layers[0].mlp_in.matrix.dtype
    each, whole = token_bytes(base, dtype), dense_bytes(base, dtype)
    usable = int(_USABLE * free_bytes) - pass_bytes(base, pass_tokens, MOST_ROWS, dtype)
    wanted = _WANTED_ROWS * longest * each
    dense = usable - whole >= 2 * wanted
    left = usable - whole if dense else usable
    tokens = max(left // (2 * each), longest)
    said = f"{whole / _GIB:.1f} GiB of {free_bytes / _GIB:.1f} GiB free"
    if not whole:
        reason = "replies by captured steps"
    elif dense:
        reason = f"replies by captured steps over the base dequantized once a call ({said})"
    else:
        reason = f"replies by captured steps, each of which dequantizes the base (once a call would take {said})"
    return ReplyPlan(dtype, dense, 1 << (tokens.bit_length() - 1), reason)


def free_gpu_bytes(device: torch.device) -> int:
    """What this process may still take of its GPU, under its cap and beside others."""
    index = device.index or 0
    free, total = torch.cuda.mem_get_info(index)
    reserved, allocated = torch.cuda.memory_reserved(index), torch.cuda.memory_allocated(index)
    # Older releases do not tell the cap: an allocation beyond it fails, and the host takes smaller batches.
    told = getattr(torch.cuda, "get_per_process_memory_fraction", lambda index: 1.0)
    cap = int(told(index) * total)
    return min(cap - allocated, free + reserved - allocated)
