import numpy as np
import pytest

from ecc_fed.core.aggregation import AggregatorState
from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.federation.aggregation.state_files import load_state, save_state
from tests.federation.fakes import make_adapter


def test_a_state_survives_its_file_bit_for_bit(tmp_path):
    shops = {"店/1": make_adapter("a"), "b": {}}
    state = AggregatorState(
        make_adapter("s"),
        {"momentum": np.ones(3, np.float32)},
        shops,
        {"rounds": 3.0, "x": 0.1},
        control=make_adapter("c"),
        num_shops=7,
    )
    save_state(tmp_path / "state", state)
    back = load_state(tmp_path / "state")
    assert back.scalars == state.scalars and back.num_shops == 7
    for left, right in (
        (back.adapter, state.adapter),
        (back.tensors, state.tensors),
        (back.shops["店/1"], shops["店/1"]),
        (back.control, state.control),
    ):
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[name], right[name]) for name in right)


def test_equal_states_are_equal_files(tmp_path):
    for number in range(20):
        save_state(tmp_path / str(number), AggregatorState(make_adapter("s"), scalars={"x": 1.0}, num_shops=2))
    assert len({(tmp_path / str(number)).read_bytes() for number in range(20)}) == 1


def test_the_first_state_survives_too(tmp_path):
    save_state(tmp_path / "state", AggregatorState())
    assert load_state(tmp_path / "state") == AggregatorState()


@pytest.mark.parametrize("content", [None, b"", b"junk"])
def test_a_file_that_holds_no_state_says_so(tmp_path, content):
    if content is not None:
        (tmp_path / "state").write_bytes(content)
    with pytest.raises(RunDirectoryError, match="holds no state of an aggregator"):
        load_state(tmp_path / "state")
