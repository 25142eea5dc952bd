import time

import numpy as np
import pytest

from ecc_fed.federation.wire.checks import RefusedReply, check_names, check_shapes, check_values, shown
from tests.federation.fakes import SHAPES, A, B, make_adapter


def test_the_names_wanted_and_no_others():
    check_names([B, A], SHAPES)  # order does not matter
    with pytest.raises(RefusedReply, match=rf"lacks {A} and 0 more; it has unexpected other and 1 more"):
        check_names(["other", B, "another"], SHAPES)


def test_shapes_are_those_of_the_settings_and_a_lower_rank_passes_where_ranks_may_differ():
    state = make_adapter("a")
    check_shapes(state, SHAPES, mixed_ranks=False)
    one = {A: np.ones((1, 5), np.float32), B: np.ones((4, 1), np.float32)}
    check_shapes(one, SHAPES, mixed_ranks=True)
    with pytest.raises(RefusedReply, match=rf"tensor {A} has shape \(1, 5\), not \(2, 5\)$"):
        check_shapes(one, SHAPES, mixed_ranks=False)
    for rank in (0, 3):
        other = {A: np.ones((rank, 5), np.float32), B: np.ones((4, rank), np.float32)}
        with pytest.raises(RefusedReply, match=rf"tensor {A} has shape \({rank}, 5\), not \(2, 5\), whose axis 0 may"):
            check_shapes(other, SHAPES, mixed_ranks=True)
    with pytest.raises(RefusedReply, match=rf"tensor {B} has rank 2, but {A} has 1"):
        check_shapes({A: one[A], B: state[B]}, SHAPES, mixed_ranks=True)
    with pytest.raises(RefusedReply, match=rf"tensor {A} has shape \(2, 4\)"):
        check_shapes({A: np.ones((2, 4), np.float32), B: state[B]}, SHAPES, mixed_ranks=True)
    with pytest.raises(RefusedReply, match=r"tensor x has shape \(\), not \(1,\)"):
        check_shapes({"x": np.array(1.0, np.float32)}, {"x": (1,)}, mixed_ranks=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.complex64, np.bool_, ">f4"])
def test_tensors_are_fp32(dtype):
    with pytest.raises(RefusedReply, match=r"tensor x is .*, not float32"):
        check_shapes({"x": np.ones(2, dtype)}, {"x": (2,)}, mixed_ranks=False)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1, np.inf, np.nan], "tensor x holds 2 values that are not finite"),
        ([-np.inf], "tensor x holds 1 values that are not finite"),
        ([np.nan, 1e38], "tensor x holds 1 values that are not finite"),
        ([1e38, 0], r"tensor x holds values from 0 to 1e\+38; 10 is the limit"),
        ([-10.5, 0], r"tensor x holds values from -10\.5 to 0; 10 is the limit"),
    ],
)
def test_values_are_finite_and_within_the_declared_bound(values, reason):
    with pytest.raises(RefusedReply, match=reason):
        check_values({"x": np.array(values, np.float32)}, 10.0)


def test_a_value_at_the_bound_passes_and_without_a_bound_all_that_is_finite():
    check_values({"x": np.array([10, -10], np.float32), "empty": np.ones((0, 3), np.float32)}, 10.0)
    check_values({"x": np.array([3e38], np.float32)}, float("inf"))
    with pytest.raises(RefusedReply, match="not finite"):
        check_values({"x": np.array([np.inf], np.float32)}, float("inf"))


def test_a_foreign_text_is_one_short_line_without_control_characters():
    assert shown("断电\x1b[31m\n") == "断电\\u001b[31m\\n"
    assert shown("x" * 10**6) == "x" * 100 + " [... 999,800 characters ...] " + "x" * 100
    assert shown("\ud800") == "\\ud800"


def test_a_hundred_thousand_names_take_little_time():
    names = [f"odd.{number}" for number in range(100_000)]
    started = time.process_time()
    with pytest.raises(RefusedReply, match=r"unexpected odd\.0 and 99999 more"):
        check_names(names, SHAPES)
    with pytest.raises(RefusedReply, match=r"lacks odd\.0 and 99999 more"):
        check_names(SHAPES, names)
    assert time.process_time() - started < 2
