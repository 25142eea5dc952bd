"""LoRA dropout."""

import numpy as np
import pytest
import torch

from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters, stack_adapters
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.dropout import Dropout
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.lora_product import apply_stack
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...drawing import random
from ...tiny_models import build_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("on_device", [False, True])
def test_a_shops_masks_are_its_own_whoever_shares_the_batch(on_device):
    together, alone = (Dropout(0.25, seeds, CPU, on_device) for seeds in ([5, 6, 7], [6]))
    for sizes, d_in, projections in (([3, 4, 2], 5, 2), ([1, 6, 2], 7, 1)):
        masks = together.masks(sizes, d_in, projections)
        own = alone.masks([sizes[1]], d_in, projections)
        for whole, part in zip(masks, own, strict=True):
            assert torch.equal(whole[sizes[0] : sizes[0] + sizes[1]], part)
    together.select([1])
    assert torch.equal(together.masks([4], 3, 1)[0], alone.masks([4], 3, 1)[0])


@pytest.mark.parametrize("on_device", [False, True])
def test_masks_follow_the_shops_seeds(on_device):
    (mask,) = Dropout(0.5, [5, 5, 6], CPU, on_device).masks([40, 40, 40], 8, 1)
    assert torch.equal(mask[:40], mask[40:80])
    assert not torch.equal(mask[:40], mask[80:])


@pytest.mark.parametrize("on_device", [False, True])
def test_masks_drop_at_their_rate_and_keep_the_mean(on_device):
    dropout = Dropout(0.1, [0], CPU, on_device)
    mask = dropout.masks([400], 500, 1)[0].double()
    assert mask.mean().item() == pytest.approx(0.9, abs=0.003)
    assert mask.mean().item() * dropout.keep_scale == pytest.approx(1, abs=0.004)
    assert np.unique(mask).tolist() == [0, 1]


def test_what_is_kept_is_scaled_by_1_over_1_minus_p():
    base = take_apart(build_model("llama").double(), CPU)
    layout, sizes, scales = AdapterLayout(base, 3, "all-linear"), [4, 3], torch.tensor([2.0, 0.5]).double()
    flat = random(2, layout.size)
    dropout, twin = (Dropout(0.25, [5, 6], CPU) for _ in range(2))
    adapters = ActiveAdapters(layout, flat, scales, torch.zeros_like(flat), dropout)
    groups, stack = Groups([0, 1], sizes, CPU), base.layers[0].attention_out
    a, (b,) = adapters.weights[0][1].a, adapters.weights[0][1].b
    x, dy = random(7, stack.d_in, seed=1).requires_grad_(), random(7, stack.matrix.d_out, seed=2)

    def by_hand(kept):
        parts = kept.split(sizes)
        return stack.matrix.product(x) + torch.cat([scales[k] * parts[k] @ a[k].t() @ b[k] for k in (0, 1)])

    def by_stack(training):
        own = stack_adapters(adapters, 0, 1, groups, groups.expand(scales), training)
        return apply_stack(stack, x, own)

    (mask,) = twin.masks(sizes, stack.d_in, 1)
    found, expected = by_stack(training=True), by_hand(x * mask / 0.75)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, dy)[0] for y in (found, expected)))
    torch.testing.assert_close(by_stack(training=False), by_hand(x))
