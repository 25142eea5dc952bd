import gc
import threading
import time

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

from ecc_fed.federation.wire import arrays
from ecc_fed.federation.wire.arrays import from_arrays, to_arrays
from tests.federation.fakes import make_adapter


def test_an_adapter_survives_the_journey_bit_for_bit():
    state = make_adapter("a")
    state["transposed"] = state["base_model.model.q_proj.lora_A.weight"].T  # not contiguous
    back = from_arrays(to_arrays(state))
    assert back is not None and back.keys() == state.keys()
    for name in state:
        assert back[name].dtype == np.float32
        assert np.array_equal(back[name], state[name])


def test_no_adapter_is_an_empty_record_and_back():
    assert len(to_arrays(None)) == 0
    assert from_arrays(ArrayRecord()) is None
    assert from_arrays(None) is None


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array(1.5, np.float32),
        np.zeros((0, 3), np.float32),
        np.array([True, False]),
    ],
)
def test_any_tensor_reads_as_flower_reads_it_and_may_be_written_to(tensor):
    array = Array(tensor)
    back = from_arrays(ArrayRecord({"x": array}))["x"]
    assert np.array_equal(back, array.numpy()) and back.dtype == tensor.dtype and back.shape == tensor.shape
    back[...] = 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no tensor",
        Array(np.ones(3)).data[:-1],
        Array(np.ones(3)).data[:40],
        Array(np.ones(3)).data[:9] + b"x" * 90,
    ],
)
def test_bytes_that_are_no_tensor_are_the_error_that_flower_raises(data):
    array = Array("float64", (3,), "numpy.ndarray", data)
    with pytest.raises((ValueError, EOFError)) as expected:
        array.numpy()
    with pytest.raises(type(expected.value)):
        from_arrays(ArrayRecord({"x": array}))


class Cycle:
    """Garbage that gives way to another thread when it is collected, as finalizers may."""

    def __init__(self):
        self.own = self

    def __del__(self):
        time.sleep(1e-4)


def test_shops_may_read_adapters_at_the_same_time():
    # Long headers, so that the collector runs while one is parsed.
    record = to_arrays({str(rows): np.ones((rows,) + 30 * (1,), np.float32) for rows in range(8)})
    failures = []

    def read(depth):  # shops are at different depths of their own code
        if depth:
            return read(depth - 1)
        try:
            for _ in range(300):
                Cycle()
                arrays._header.cache_clear()  # every header is new to somebody
                assert len(from_arrays(record)) == 8
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(depth,)) for depth in range(4)]
    usual = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*usual)
    assert failures == []
