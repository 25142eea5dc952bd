import pickle
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

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


def test_the_same_tensors_in_any_order_are_the_same_bytes():
    state = make_adapter("a")
    reversed_state = dict(reversed(state.items()))
    assert list(reversed_state) != list(state)
    assert list(to_arrays(reversed_state).items()) == list(to_arrays(state).items())


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


def header_of(text: str, *, version: bytes = b"\x01\x00") -> bytes:
    body = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(body).to_bytes(2, "little") + body


def plain(shape: str, dtype: str = "<f4") -> str:
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"


def zipped() -> bytes:
    file = BytesIO()
    np.savez(file, x=np.ones(3, np.float32))
    return file.getvalue()


def pickled() -> bytes:
    file = BytesIO()
    np.save(file, np.array([{"x": 1}], object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "do not begin as numpy's format"),
        (b"no tensor", "do not begin as numpy's format"),
        (zipped(), "do not begin as numpy's format"),
        (pickle.dumps(np.ones(3)), "do not begin as numpy's format"),
        (pickled(), "its header is not that of plain numbers"),
        (header_of(plain("(1,)"), version=b"\x02\x00") + bytes(4), "do not begin as numpy's format"),
        (Array(np.ones(3)).data[:-1], "claims 24 bytes of numbers and 23 are there"),
        (Array(np.ones(3)).data + b"x", "claims 24 bytes of numbers and 25 are there"),
        (Array(np.ones(3)).data[:40], "its header is not that of plain numbers"),
        (Array(np.ones(3)).data[:9] + b"x" * 90, "its header is not that of plain numbers"),
        (header_of(plain("(1000000, 1000000)")), "claims 4000000000000 bytes of numbers and 0 are there"),
        (header_of(plain("(" + "9" * 18 + ", " * 1 + "9" * 18 + ")")), "claims .* bytes of numbers and 0 are there"),
        (header_of(plain("(-1,)")), "its header is not that of plain numbers"),
        (header_of(plain("(__import__('os').getpid(),)")), "its header is not that of plain numbers"),
        (header_of(plain("(" * 5000 + "1" + ")" * 5000)), "its header is not that of plain numbers"),
        (header_of(plain("(1,)", "|O8")) + bytes(8), "its header is not that of plain numbers"),
        (header_of(plain("(1,)", "<U4")) + bytes(16), "its header is not that of plain numbers"),
        (header_of(plain("(1,)", "<f3")) + bytes(3), "not understood"),
        (header_of(plain("(" + "1, " * 100 + ")")) + bytes(4), "maximum supported dimension"),
    ],
)
def test_bytes_that_are_no_tensor_of_plain_numbers_are_refused_by_what_is_wrong_with_them(data, reason):
    array = Array("float32", (3,), "numpy.ndarray", data)
    with pytest.raises((ValueError, TypeError), match=reason):
        from_arrays(ArrayRecord({"x": array}))


def test_another_way_to_serialize_is_refused():
    array = Array("float32", (3,), "pickle", Array(np.ones(3, np.float32)).data)
    with pytest.raises(ValueError, match=r"serialized as pickle, not as numpy\.ndarray"):
        from_arrays(ArrayRecord({"x": array}))


def test_shops_may_read_adapters_at_the_same_time():
    record = to_arrays({str(rows): np.ones((rows,) + 30 * (1,), np.float32) for rows in range(8)})
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda _: from_arrays(record), range(200)))
    assert all(len(each) == 8 for each in read)
