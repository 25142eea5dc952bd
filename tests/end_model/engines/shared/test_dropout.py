"""LoRA dropout."""

import numpy as np
import pytest
import torch

from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters, stack_adapters
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.dropout import CountedDropout, StreamDropout
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.lora_product import apply_stack
from ecc_fed.end_model.engines.shared.row_functions import PLAIN
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...drawing import random
from ...tiny_models import build_model

CPU = torch.device("cpu")


def streams(probability, seeds):
    return StreamDropout(probability, seeds, CPU)


def counted(probability, seeds):
    return CountedDropout(probability, seeds, CPU, PLAIN)


def masks(dropout, sizes, width, projections, stack=0):
    """Every projection's mask over ones."""
    groups = Groups(range(len(sizes)), sizes, CPU)
    drawn = dropout.masks(groups, 0, stack, width, projections)
    return [drawn.drop(index, torch.ones(sum(sizes), width)) for index in range(projections)]


WAYS = pytest.mark.parametrize("make", [streams, counted])


@WAYS
def test_a_shops_masks_are_its_own_whoever_shares_the_batch(make):
    together, alone = make(0.25, [5, 6, 7]), make(0.25, [6])
    for stack, (sizes, d_in, projections) in enumerate((([3, 4, 2], 5, 2), ([1, 6, 2], 7, 1))):
        own = masks(alone, [sizes[1]], d_in, projections, stack)
        for whole, part in zip(masks(together, sizes, d_in, projections, stack), own, strict=True):
            assert torch.equal(whole[sizes[0] : sizes[0] + sizes[1]], part)
    together.select([1], 1)
    alone.select([0], 1)
    assert torch.equal(masks(together, [4], 3, 1)[0], masks(alone, [4], 3, 1)[0])


@WAYS
def test_masks_follow_the_shops_seeds(make):
    (mask,) = masks(make(0.5, [5, 5, 6]), [40, 40, 40], 8, 1)
    assert torch.equal(mask[:40], mask[40:80])
    assert not torch.equal(mask[:40], mask[80:])


@WAYS
def test_masks_drop_at_their_rate_and_keep_the_mean(make):
    dropout = make(0.1, [0])
    mask = masks(dropout, [400], 500, 1)[0].double()
    assert mask.mean().item() == pytest.approx(0.9, abs=0.003)
    assert mask.mean().item() * dropout.keep_scale == pytest.approx(1, abs=0.004)
    assert np.unique(mask).tolist() == [0, 1]


def test_a_shops_groups_of_one_step_have_rows_of_their_own():
    """Examples whose gradients are wanted one by one: the same masks as in one group."""
    whole, parts = (CountedDropout(0.5, [4, 5], CPU, PLAIN) for _ in range(2))
    parts.select([0, 0, 1, 1], 0)
    assert torch.equal(masks(whole, [7, 5], 40, 1)[0], masks(parts, [3, 4, 2, 3], 40, 1)[0])


def test_counted_masks_differ_by_step_layer_stack_and_projection():
    groups = Groups([0], [30], CPU)
    found = []
    for step, layer, stack in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        dropout = CountedDropout(0.5, [5], CPU, PLAIN)
        dropout.select([0], step)
        drawn = dropout.masks(groups, layer, stack, 64, 2)
        found += [drawn.drop(index, torch.ones(30, 64)).flatten() for index in range(2)]
    agree = torch.stack([(one == other).double().mean() for one in found for other in found]).view(8, 8)
    assert ((agree - 0.5).abs() < 0.06).sum() == 8 * 7 and agree.diag().min() == 1


def test_what_a_mask_drops_on_the_way_forward_it_drops_on_the_way_back():
    drawn = CountedDropout(0.5, [5], CPU, PLAIN).masks(Groups([0], [6], CPU), 0, 0, 9, 1)
    x, into = random(6, 9), random(6, 9, seed=1)
    expected = into + drawn.drop(0, x)
    drawn.add_dropped(0, into, x)
    assert torch.equal(into, expected) and not torch.equal(drawn.drop(0, x), x)


def test_what_is_kept_is_scaled_by_1_over_1_minus_p():
    base = take_apart(build_model("llama").double(), CPU)
    layout, sizes, scales = AdapterLayout(base, 3, "all-linear"), [4, 3], torch.tensor([2.0, 0.5]).double()
    flat = random(2, layout.size)
    dropout, twin = (StreamDropout(0.25, [5, 6], CPU) for _ in range(2))
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

    (mask,) = twin.draw(sizes, stack.d_in, 1)
    found, expected = by_stack(training=True), by_hand(x * mask / 0.75)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, dy)[0] for y in (found, expected)))
    torch.testing.assert_close(by_stack(training=False), by_hand(x))
