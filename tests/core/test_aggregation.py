"""Which tensors of an adapter take part, and what an update tells of itself."""

import numpy as np
import pytest

from ecc_fed.core.aggregation import (
    EVERYTHING,
    LORA_A,
    LORA_B,
    NOTHING,
    WHOLE,
    AdapterUpdate,
    AggregatorState,
    Exchange,
    adapter_rank,
    low_rank_pairs,
    matches,
    ranks,
    select,
    tensor_bytes,
    without_examples,
)

Q_A, Q_B, V_A, V_B = (f"m.{module}.lora_{factor}.weight" for module in ("q", "v") for factor in "AB")
PREFIX = "prompt.embedding"
ADAPTER = {
    Q_B: np.zeros((5, 2), np.float32),
    V_A: np.zeros((3, 4), np.float32),
    Q_A: np.zeros((2, 6), np.float32),
    V_B: np.zeros((7, 3), np.float32),
    PREFIX: np.zeros(9, np.float32),
}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (EVERYTHING, [Q_B, V_A, Q_A, V_B, PREFIX]),
        (NOTHING, []),
        (LORA_A, [V_A, Q_A]),
        (LORA_B, [Q_B, V_B]),
        ((*LORA_A, *LORA_B), [Q_B, V_A, Q_A, V_B]),
        (("m.q.*", "prompt*"), [Q_B, Q_A, PREFIX]),
        (("M.Q.*",), []),
    ],
)
def test_patterns_choose_tensors_in_the_adapters_order(patterns: tuple[str, ...], names: list[str]) -> None:
    chosen = select(ADAPTER, patterns)
    assert list(chosen) == names
    assert all(chosen[name] is ADAPTER[name] for name in names)
    assert [name for name in ADAPTER if matches(name, patterns)] == names


def test_every_exchange_is_of_everything_unless_told_otherwise() -> None:
    assert Exchange() == WHOLE == Exchange(("*",), ("*",))


def test_low_rank_pairs_are_matrices_of_one_module() -> None:
    assert low_rank_pairs(ADAPTER) == [(V_A, V_B), (Q_A, Q_B)]
    assert low_rank_pairs({Q_A: ADAPTER[Q_A]}) == low_rank_pairs({Q_B: ADAPTER[Q_B]}) == []
    convolution = {Q_A: np.zeros((2, 6, 1), np.float32), Q_B: np.zeros((5, 2), np.float32)}
    assert low_rank_pairs(convolution) == low_rank_pairs({Q_A: convolution[Q_B], Q_B: convolution[Q_A]}) == []


def test_a_rank_is_of_the_inner_dimension_of_either_factor() -> None:
    assert ranks(ADAPTER) == {V_A: 3, Q_A: 2, Q_B: 2, V_B: 3}
    assert adapter_rank(ADAPTER) == 3
    assert adapter_rank({Q_B: ADAPTER[Q_B]}) == 2
    assert adapter_rank({PREFIX: ADAPTER[PREFIX]}) is None
    assert ranks({Q_A: np.zeros(6, np.float32), Q_B: np.zeros((5, 2, 1), np.float32)}) == {}


def test_an_update_tells_its_rank_bytes_and_whether_anybody_learned() -> None:
    update = AdapterUpdate("a", 1, ADAPTER, 0)
    assert (update.rank, update.scale, update.metrics) == (3, 1.0, {})
    assert tensor_bytes(ADAPTER) == 4 * (10 + 12 + 12 + 21 + 9)
    assert tensor_bytes({}) == 0
    learned = AdapterUpdate("b", 1, {}, 3)
    assert learned.rank is None
    assert without_examples([]) and without_examples([update, update])
    assert not without_examples([update, learned])


def test_a_state_begins_empty() -> None:
    state = AggregatorState()
    assert (state.adapter, state.tensors, state.shops, state.scalars) == (None, {}, {}, {})
