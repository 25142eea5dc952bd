"""The bank's adapters as the matrices of every stack, and one stack's share of them in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.bank import AdapterLayout, StackSpan, StackViews, stack_views
from ecc_fed.end_model.engines.shared.dropout import Dropout, Masks
from ecc_fed.end_model.engines.shared.groups import Groups


class ActiveAdapters:
    """The bank rows in use, as matrices: [layer][stack].

    `scale` (bank rows,) is lora_alpha / rank of every row. `gradients` (groups, size) takes the
    gradient of group g in row g; None where nothing is trained.
    """

    def __init__(
        self,
        layout: AdapterLayout,
        flat: Tensor,
        scale: Tensor,
        gradients: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        self._layout, self._flat = layout, flat
        self.spans = layout.spans
        self.weights = [[stack_views(flat, span, layout.rank) for span in spans] for spans in layout.spans]
        self.scale = scale
        self.dropout = dropout
        self.rank = layout.rank
        self.gradients: list[list[StackViews]] | None = None
        if gradients is not None:
            self.take_gradients(gradients)

    def take_gradients(self, gradients: Tensor) -> None:
        """From now on gradients go here (groups, size)."""
        self.gradients = [[stack_views(gradients, span, self.rank) for span in spans] for spans in self.spans]

    def served_in(self, dtype: torch.dtype) -> ActiveAdapters:
        """The same adapters in another dtype, not for training."""
        return ActiveAdapters(self._layout, self._flat.to(dtype), self.scale)


@dataclass(slots=True)
class StackAdapters:
    """One stack's adapters for the rows of one packed batch."""

    span: StackSpan
    weights: StackViews
    gradients: StackViews | None
    groups: Groups
    scale: Tensor  # (N, 1)
    rank: int
    masks: Masks | None  # 1 / (1 - p) is part of the scale
    input_gradient: bool


def stack_adapters(
    adapters: ActiveAdapters | None, layer: int, index: int, groups: Groups, scale: Tensor | None, training: bool
) -> StackAdapters | None:
    """What one stack's product needs, its dropout masks included."""
    if adapters is None or scale is None:
        return None
    span = adapters.spans[layer][index]
    masks = None
    if training and adapters.dropout is not None and span.outputs:
        masks = adapters.dropout.masks(groups, layer, index, span.d_in, len(span.outputs))
        scale = scale * adapters.dropout.keep_scale
    return StackAdapters(
        span,
        adapters.weights[layer][index],
        adapters.gradients[layer][index] if adapters.gradients is not None else None,
        groups,
        scale,
        adapters.rank,
        masks,
        # The embedding is frozen: nothing lies below the first layer.
        input_gradient=(layer, index) != (0, 0),
    )
