"""Products of packed rows with a matrix for each group."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.end_model.engines.shared.groups import Groups

from ...drawing import random

CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.booleans(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_grouped_products_equal_a_loop_over_groups_either_way(sizes, loop, shift):
    rows = [(index * 2 + shift) % 12 for index in range(len(sizes))]
    groups = Groups(rows, sizes, CPU, loop=loop)
    x, h, w = random(sum(sizes), 5), random(sum(sizes), 3, seed=1), random(12, 3, 5, seed=2)
    parts = list(zip(rows, x.split(sizes), h.split(sizes), strict=True))
    torch.testing.assert_close(groups.project(x, w), torch.cat([part @ w[row].t() for row, part, _ in parts]))
    added = x.clone()
    groups.add_back(added, h, w)
    torch.testing.assert_close(added, torch.cat([part + small @ w[row] for row, part, small in parts]))
    out = torch.empty(len(sizes), 3, 5, dtype=x.dtype)
    groups.outer(h, x, out)
    torch.testing.assert_close(out, torch.stack([small.t() @ part for _, part, small in parts]))
    values = random(12)
    torch.testing.assert_close(
        groups.expand(values)[:, 0], torch.cat([values[r].expand(s) for r, s in zip(rows, sizes, strict=True)])
    )
