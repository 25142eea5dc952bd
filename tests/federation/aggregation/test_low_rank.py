"""Stacked factors and their SVD against whole matrices."""

import numpy as np
import pytest

from ecc_fed.federation.aggregation.low_rank import Factors, best_pair, cut, energy_rank, stacked, svd, whole
from tests.federation.aggregation.dense import best_of_rank, drawn, products


def factors(rng: np.random.Generator, d_out: int, m: int, d_in: int) -> Factors:
    return Factors(rng.standard_normal((d_out, m)), rng.standard_normal((m, d_in)))


@pytest.mark.parametrize(("d_out", "d_in"), [(7, 7), (3, 20), (20, 3)])
@pytest.mark.parametrize("parts", [1, 2, 3, 4, 9, 10, 40])
def test_a_stack_is_the_sum_and_never_wider_than_the_matrix(d_out, d_in, parts):
    rng = np.random.default_rng(parts)
    each = [factors(rng, d_out, 2, d_in) for _ in range(parts)]
    before = [(one.left.copy(), one.right.copy()) for one in each]
    found = stacked(iter(each))
    total = sum(one.left @ one.right for one in each)
    for product in (found.left @ found.right, found.product()):
        assert np.allclose(product, total, rtol=1e-12, atol=1e-12)
    assert found.rank == min(2 * parts, found.side)
    assert found.size >= np.linalg.norm(total)
    assert found.rank <= found.side == min(d_out, d_in)
    assert (found.identity is None) == (2 * parts <= min(d_out, d_in))
    assert all(
        np.array_equal(one.left, a) and np.array_equal(one.right, b) for one, (a, b) in zip(each, before, strict=True)
    )


@pytest.mark.parametrize("parts", [12, 13, 16, 17, 18, 30])
def test_what_is_left_when_the_parts_end_is_added_too(parts):
    # Multiplied out with the 13th part, and then with every fourth.
    rng = np.random.default_rng(parts)
    each = [factors(rng, 12, 1, 14) for _ in range(parts)]
    found = stacked(each)
    np.testing.assert_allclose(found.product(), sum(one.left @ one.right for one in each), rtol=1e-12, atol=1e-12)
    assert found.rank == 12


@pytest.mark.parametrize(("d_out", "d_in"), [(5, 8), (8, 5), (6, 6)])
def test_a_whole_matrix_is_a_part_like_any_other_and_stays_as_it_is(d_out, d_in):
    rng = np.random.default_rng(3)
    matrix, more = rng.standard_normal((d_out, d_in)), [factors(rng, d_out, 4, d_in) for _ in range(3)]
    first = whole(matrix, float(np.linalg.norm(matrix)))
    kept = matrix.copy()
    assert np.array_equal(first.left @ first.right, matrix) and first.rank == 5 + (d_out == d_in)
    for parts in ([first, *more], [*more, first], [first, first]):
        wanted = sum(part.left @ part.right for part in parts)
        np.testing.assert_allclose(stacked(parts).product(), wanted, rtol=1e-12, atol=1e-12)
    assert np.array_equal(matrix, kept)
    found = svd(first)
    np.testing.assert_allclose(found.values, np.linalg.svd(matrix, compute_uv=False), rtol=1e-12)
    np.testing.assert_allclose((found.left * found.values) @ found.right, matrix, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("d_out", "m", "d_in"), [(7, 3, 7), (3, 8, 9), (9, 8, 3), (6, 30, 6)])
def test_the_svd_of_factors_is_that_of_their_product(d_out, m, d_in):
    each = factors(np.random.default_rng(1), d_out, m, d_in)
    found, whole = svd(each), each.left @ each.right
    values = np.linalg.svd(whole, compute_uv=False)
    np.testing.assert_allclose(found.values, values[: len(found.values)], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose((found.left * found.values) @ found.right, whole, rtol=1e-10, atol=1e-10)
    for rank in (1, 2, 12):
        a, b = best_pair(found, rank, 4.0)
        assert (a.shape, b.shape, a.dtype, b.dtype) == ((rank, d_in), (d_out, rank), np.float32, np.float32)
        best = best_of_rank(whole, rank)
        assert np.linalg.norm(4.0 * b.astype(np.float64) @ a - best) < 1e-6 * np.linalg.norm(whole)


def test_energy_is_that_of_the_squares():
    values = np.array([4.0, 3.0, 0.0, 0.0])  # squares 16 and 9: .64 of all in the first
    assert [energy_rank(values, energy) for energy in (0.1, 0.64, 0.641, 1.0)] == [1, 1, 2, 2]
    assert energy_rank(np.zeros(3), 0.9) == 1
    assert energy_rank(np.full(10, 0.1), 1.0) == 10


def test_cut_keeps_the_first_of_a_rank_and_fills_up_with_zeros():
    adapter = drawn(np.random.default_rng(2), 3)
    narrow, wide = cut(adapter, 2, 1.0), cut(adapter, 5, 2.0)
    for name, tensor in adapter.items():
        assert np.array_equal(narrow[name], tensor[:2] if ".lora_A." in name else tensor[:, :2])
    found = products(wide, 0.5)
    for name, each in products(adapter, 1.0).items():
        np.testing.assert_allclose(found[name], each, rtol=1e-6)
    assert all(5 in tensor.shape for tensor in wide.values())
    assert all(np.array_equal(cut(adapter, 3, 1.0)[name], tensor) for name, tensor in adapter.items())
