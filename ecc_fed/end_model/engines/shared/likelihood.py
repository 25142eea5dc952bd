"""Teacher-forced likelihood of many shops' examples in one packed pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.forward import forward_packed
from ecc_fed.end_model.engines.shared.label_loss import label_nll
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.packing import pack_examples
from ecc_fed.end_model.training.examples import EncodedExample


@torch.inference_mode()
def label_losses(
    base: PackedBase,
    adapters: ActiveAdapters | None,
    examples: Sequence[EncodedExample],
    bank_rows: Sequence[int],
) -> list[torch.Tensor]:
    """-log p of each example's labels, (label tokens,) in fp64; example i meets bank row `bank_rows[i]` (ascending)."""
    groups = sorted(set(bank_rows))
    packed, targets = pack_examples(examples, [bank_rows.count(row) for row in groups], groups, base.device)
    hidden = forward_packed(base, packed, adapters)
    losses = label_nll(hidden, base.head, targets, cap=base.logit_cap).double()
    return list(losses.split_with_sizes([example.label_tokens for example in examples]))
