import numpy as np
import pytest

from ecc_fed.core.aggregation import EVERYTHING, LORA_B
from ecc_fed.federation.wire.checks import (
    RefusedReply,
    check_signature,
    check_tensors,
    most_common,
    signature,
)
from tests.federation.fakes import A, B, make_adapter


def test_names_and_shapes_must_agree_but_for_the_rank():
    state = make_adapter("a")
    expected = signature(state)
    check_signature(dict(reversed(state.items())), expected)  # order does not matter
    check_signature({A: np.ones((7, 5), np.float32), B: np.ones((4, 7), np.float32)}, expected)
    with pytest.raises(RefusedReply, match=rf"lacks {A} and 0 more; it has unexpected other and 0 more"):
        check_signature({"other": state[A], B: state[B]}, expected)
    with pytest.raises(RefusedReply, match=rf"tensor {A} has shape \(r, 6\), not \(r, 5\)"):
        check_signature({A: np.ones((2, 6), np.float32), B: state[B]}, expected)
    with pytest.raises(RefusedReply, match=rf"tensor {B} has shape \(5, r\), not \(4, r\)"):
        check_signature({A: state[A], B: np.ones((5, 2), np.float32)}, expected)
    odd = {A: state[A]}
    assert most_common(map(signature, [odd, state, state])) == expected
    assert most_common(map(signature, [odd, state])) == signature(odd)


def test_the_factors_of_an_adapter_have_one_rank():
    state = make_adapter("a")
    check_tensors(state, EVERYTHING)
    with pytest.raises(RefusedReply, match=rf"tensor {B} has rank 3, but {A} has 2"):
        check_tensors({A: state[A], B: np.ones((4, 3), np.float32)}, EVERYTHING)


def test_what_was_not_asked_for_is_refused():
    with pytest.raises(RefusedReply, match=rf"tensor {A} was not asked for"):
        check_tensors(make_adapter("a"), LORA_B)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (np.ones(2, np.float64), "tensor x is float64, not float32"),
        (np.array([1, np.inf, np.nan], np.float32), "tensor x holds 2 values that are not finite"),
    ],
)
def test_tensors_are_fp32_and_finite(tensor, reason):
    with pytest.raises(RefusedReply, match=reason):
        check_tensors({"x": tensor}, EVERYTHING)
