"""On a card, every launch against its plain form."""

import pytest
import torch

from ecc_fed.end_model.engines.shared.compute_plan import gpu_plan
from ecc_fed.end_model.engines.shared.grouped_product import grouped_plain
from ecc_fed.end_model.engines.shared.grouped_rows import GroupedRows
from ecc_fed.end_model.engines.shared.varlen import varlen_plain

pytestmark = pytest.mark.card_only


def close(found, expected):
    off = float((found.double() - expected.double()).abs().max() / expected.double().abs().max())
    assert off < 2**-6, off


def test_fused_kernels_equal_their_plain_forms():
    pytest.importorskip("triton")
    from ..end_model.engines.shared.kernel_checks import check

    check(torch.device("cuda"))


@pytest.mark.parametrize("rank", [8, 16, 24])
def test_grouped_products_equal_the_loop(rank):
    product = gpu_plan(0).grouped
    if product is None:
        pytest.skip(f"compute capability {torch.cuda.get_device_capability()}: products are padded here")
    card, sizes, rows = torch.device("cuda"), [3, 1, 70, 17], [1, 1, 2, 3]
    draw = lambda *size: torch.randn(*size, device=card).bfloat16()  # noqa: E731
    # As training has them: views of wider rows.
    x, h, w = draw(sum(sizes), 96)[:, 32:], draw(sum(sizes), 2 * rank)[:, :rank], draw(5, rank, 64)
    ways = [GroupedRows(rows, sizes, card, way) for way in (product, grouped_plain)]
    for one, other in ((way.project(x, w) for way in ways), (way.back(h, w) for way in ways)):
        close(one, other)
    outs = [torch.empty(4, rank, 64, device=card) for _ in ways]
    for way, out in zip(ways, outs, strict=True):
        way.outer(h, x, out)
    close(*outs)


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(4, 4, 64), (32, 2, 128)])
def test_attention_at_once_equals_sequence_by_sequence(heads, kv_heads, head_dim):
    attend = gpu_plan(0).varlen
    if attend is None:
        pytest.skip(f"torch {torch.__version__} has no such attention: it goes bucket by bucket here")
    bounds = torch.tensor([0, 1, 70, 103], dtype=torch.int32, device="cuda")
    drawn = [torch.randn(103, n, head_dim, device="cuda").bfloat16() for n in (heads, kv_heads, kv_heads)]
    found = []
    for way in (attend, varlen_plain):
        leaves = [each.clone().requires_grad_() for each in drawn]
        out = way(*leaves, bounds, 69)
        out.backward(torch.ones_like(out))
        found.append((out, *(leaf.grad for leaf in leaves)))
    for one, other in zip(*found, strict=True):
        close(one, other)
