"""Adapter products of all groups, attention of all sequences: one launch, by plain forms and as torch is called."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.end_model.engines.shared.attention import attend_at_once, attend_packed
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.grouped_product import grouped_by_torch, grouped_plain
from ecc_fed.end_model.engines.shared.grouped_rows import GroupedRows
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.packing import pack
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.engines.shared.varlen import adapted, varlen_plain

from ...drawing import random
from ...tiny_models import build_model

CPU = torch.device("cpu")


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 7)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_grouped_products_equal_a_loop_over_groups(groups_of):
    """Rows in any order, repeated side by side and apart."""
    rows, sizes = zip(*groups_of, strict=True)
    one, loop = GroupedRows(rows, sizes, CPU, grouped_plain), Groups(rows, sizes, CPU, loop=True)
    x, h, w = random(sum(sizes), 5), random(sum(sizes), 3, seed=1), random(5, 3, 5, seed=2)
    torch.testing.assert_close(one.project(x, w), loop.project(x, w))
    torch.testing.assert_close(one.back(h, w), loop.back(h, w))
    added = x.clone(), x.clone()
    for groups, each in zip((one, loop), added, strict=True):
        groups.add_back(each, h, w)
    torch.testing.assert_close(*added)
    outs = torch.empty(2, len(sizes), 3, 5, dtype=x.dtype)
    one.outer(h, x, outs[0])
    loop.outer(h, x, outs[1])
    torch.testing.assert_close(*outs)


def test_successive_groups_of_one_row_meet_its_matrix_together():
    """Per-example gradients take no more launches' groups, nor copies of a matrix, than one gradient a shop."""
    seen = []

    def product(a, b, ends):
        seen.append((b.shape[0] if b.dim() == 3 else None, len(ends)))
        return grouped_plain(a, b, ends)

    groups = GroupedRows([2, 2, 3, 3, 3], [1, 2, 1, 1, 4], CPU, product)
    x, h, w = random(9, 5), random(9, 3, seed=1), random(6, 3, 5, seed=2)
    groups.project(x, w)
    groups.back(h, w)
    groups.outer(h, x, torch.empty(5, 3, 5, dtype=x.dtype))
    assert seen == [(2, 2), (2, 2), (None, 5)]


def test_torchs_grouped_product_is_the_plain_one():
    product = grouped_by_torch()
    if product is None:
        pytest.skip(f"torch {torch.__version__} has no grouped product")
    ends = torch.tensor([3, 4, 9], dtype=torch.int32)
    x, h, w = (random(*size, seed=k).bfloat16() for k, size in enumerate(((9, 16), (9, 8), (3, 8, 16))))
    for a, b in ((x, w.transpose(1, 2)), (h, w), (h.t(), x)):
        torch.testing.assert_close(product(a, b, ends), grouped_plain(a, b, ends), atol=0.05, rtol=0.02)


@pytest.mark.parametrize("family", ["llama", "glm"])
def test_attention_at_once_equals_attention_by_buckets(family):
    base = take_apart(build_model(family).double(), CPU, plan=GPU_PLAIN)
    lengths = [5, 1, 7, 7, 30]
    packed = pack([[4] * length for length in lengths], [[0]] * 5, [5], [0], CPU)
    width = (base.heads + 2 * base.kv_heads) * base.head_dim
    qkv, dy = random(sum(lengths), width), random(sum(lengths), base.heads * base.head_dim, seed=1)
    angles = tuple(part[packed.positions][:, None] for part in base.angles(30))
    found = []
    for attend in (
        lambda x: attend_at_once(base, x, angles, packed),
        lambda x: attend_packed(base, x, angles, packed.buckets, None, training=True),
    ):
        leaf = qkv.clone().requires_grad_()
        out = attend(leaf * 1)
        out.backward(dy)
        found.append((out.detach(), leaf.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("parameters", "expected", "heads"),
    [
        ({"is_causal"}, {"is_causal": True}, 4),  # torch 2.10
        ({"window_size"}, {"window_size": (-1, 0)}, 4),  # 2.11
        ({"window_size", "enable_gqa"}, {"window_size": (-1, 0), "enable_gqa": True}, 2),  # from 2.12 on
    ],
)
def test_torchs_attention_is_called_as_its_release_wants_it(parameters, expected, heads):
    calls = []

    def function(q, k, v, *rest, **options):
        calls.append((k.shape[1], rest[2:], options))
        return varlen_plain(q, k, v, rest[0], rest[2])

    q, k, v = random(9, 4, 8), random(9, 2, 8, seed=1), random(9, 2, 8, seed=2)
    bounds = torch.tensor([0, 4, 9], dtype=torch.int32)
    found = adapted(function, frozenset(parameters))(q, k, v, bounds, 5)
    torch.testing.assert_close(found, varlen_plain(q, k, v, bounds, 5))
    assert calls == [(heads, (5, 5), expected)]
