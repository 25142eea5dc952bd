import gc
import threading
import time

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from ecc_fed.core.records import AdapterState, EvaluationReport, TrainReport
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.records import RefusedReply
from tests.federation.fakes import make_adapter


def test_an_adapter_survives_the_journey_bit_for_bit():
    state = make_adapter("a")
    state["transposed"] = state["base_model.model.q_proj.lora_A.weight"].T  # not contiguous
    back = records.from_arrays(records.to_arrays(state))
    assert back is not None and back.keys() == state.keys()
    for name in state:
        assert back[name].dtype == np.float32
        assert np.array_equal(back[name], state[name])


def test_no_adapter_is_an_empty_record_and_back():
    assert len(records.to_arrays(None)) == 0
    assert records.from_arrays(ArrayRecord()) is None
    assert records.from_arrays(None) is None


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
    back = records.from_arrays(ArrayRecord({"x": array}))["x"]
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
        records.from_arrays(ArrayRecord({"x": array}))


class Cycle:
    """Garbage that gives way to another thread when it is collected, as finalizers may."""

    def __init__(self):
        self.own = self

    def __del__(self):
        time.sleep(1e-4)


def test_shops_may_read_adapters_at_the_same_time():
    # Long headers, so that the collector runs while one is parsed.
    record = records.to_arrays({str(rows): np.ones((rows,) + 30 * (1,), np.float32) for rows in range(8)})
    failures = []

    def read(depth):  # shops are at different depths of their own code
        if depth:
            return read(depth - 1)
        try:
            for _ in range(300):
                Cycle()
                records._header.cache_clear()  # every header is new to somebody
                assert len(records.from_arrays(record)) == 8
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


def test_requests_survive_the_journey():
    content = records.instructions(records.to_arrays(make_adapter("a")), records.train_config(3, True))
    request = records.read_train_request(content)
    assert (request.server_round, request.upload) == (3, True)
    assert request.incoming is not None
    content = records.instructions(ArrayRecord(), records.evaluate_config(0, "base"))
    evaluation = records.read_evaluate_request(content)
    assert (evaluation.server_round, evaluation.incoming, evaluation.phase) == (0, None, "base")


def test_a_message_without_settings_names_what_is_missing():
    with pytest.raises(ValueError, match=r"lacks config\.server-round; server and shop must run the same version"):
        records.read_train_request(RecordDict())


def test_replies_survive_the_journey_and_keep_the_adapter_at_home_unless_asked():
    report = TrainReport(make_adapter("a"), 12, {"loss": np.float32(0.5), "steps": 3})
    sent = records.train_reply(report, upload=True)
    back = records.read_train_reply(sent, upload=True)
    assert back.num_examples == 12
    assert back.metrics == {"loss": 0.5, "steps": 3.0}
    assert all(np.array_equal(back.adapter[name], report.adapter[name]) for name in report.adapter)
    kept = records.train_reply(report, upload=False)
    assert not kept.array_records
    assert records.read_train_reply(kept, upload=False).adapter == {}
    evaluation = EvaluationReport(4, {"score": 0.25})
    assert records.read_evaluate_reply(records.evaluate_reply(evaluation)) == evaluation


def reply_with(adapter: ArrayRecord | None, metrics: dict) -> RecordDict:
    content = RecordDict({records.METRICS: MetricRecord(metrics)})
    if adapter is not None:
        content[records.ARRAYS] = adapter
    return content


@pytest.mark.parametrize(
    ("adapter", "metrics", "reason"),
    [
        (None, {"num-examples": 1}, "the reply holds no adapter"),
        (ArrayRecord(), {"num-examples": 1}, "the reply holds no adapter"),
        (ArrayRecord({"x": Array(np.ones(2, np.float64))}), {"num-examples": 1}, "tensor x is float64, not float32"),
        (
            ArrayRecord({"x": Array(np.array([1, np.inf, np.nan], np.float32))}),
            {"num-examples": 1},
            "tensor x holds 2 values that are not finite",
        ),
        (
            ArrayRecord({"x": Array("float32", (2,), "numpy.ndarray", b"junk")}),
            {"num-examples": 1},
            "a tensor cannot be read",
        ),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {}, "num-examples is None"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": -1}, "num-examples is -1"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": 2.5}, "num-examples is 2.5"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": 1, "l": [1.0]}, "metrics.l is a list"),
    ],
)
def test_a_spoilt_reply_is_refused_with_its_reason(adapter, metrics, reason):
    with pytest.raises(RefusedReply, match=reason):
        records.read_train_reply(reply_with(adapter, metrics), upload=True)


def test_names_and_shapes_must_agree():
    state = make_adapter("a")
    expected = records.signature(state)
    records.check_signature(dict(reversed(state.items())), expected)  # order does not matter
    first, second = state
    with pytest.raises(RefusedReply, match=rf"lacks {first} and 0 more; it has unexpected other and 0 more"):
        records.check_signature({"other": state[first], second: state[second]}, expected)
    with pytest.raises(RefusedReply, match=r"has shape \(5, 2\), not \(2, 5\)"):
        records.check_signature({**state, first: state[first].T}, expected)
    odd = {first: state[first]}
    assert records.common_signature([odd, state, state]) == expected
    assert records.common_signature([odd, state]) == records.signature(odd)


def test_traffic_counts_every_byte_by_kind():
    identify_process(1)
    tensor = np.ones((2, 3), np.float32)
    arrays = records.to_arrays({"name": tensor})
    message = Message(records.instructions(arrays, records.train_config(2, True)), 2, "train")
    entries = records.traffic_entries("shop", 2, "down", message)
    payload = len(arrays["name"].data)
    assert payload >= tensor.nbytes
    assert {entry.kind: entry.num_bytes for entry in entries} == {
        "adapter": payload + len("name"),
        "config": len("server-round") + 8 + len("upload") + 1,
    }
    assert {(entry.destination, entry.direction, entry.shop_id, entry.server_round) for entry in entries} == {
        ("aggregator", "down", "shop", 2)
    }
    error = Message(Error(2, "no power: 断电"), reply_to=message)
    assert [(e.kind, e.num_bytes) for e in records.traffic_entries("shop", 2, "up", error)] == [("error", 16)]


def test_nothing_sent_is_no_entry():
    identify_process(1)
    message = Message(records.instructions(ArrayRecord(), records.train_config(1, False)), 2, "train")
    assert [entry.kind for entry in records.traffic_entries("shop", 1, "down", message)] == ["config"]


def test_a_shops_own_state_is_wanted_only_where_a_message_goes_on_from_it():
    def message(config: ConfigRecord, state: AdapterState | None = None) -> Message:
        return Message(records.instructions(records.to_arrays(state), config), 1, "train")

    identify_process(1)
    adapter = make_adapter("x")
    assert records.goes_on_from(message(records.train_config(3, True))) == 3
    assert records.goes_on_from(message(records.train_config(3, True), adapter)) == 3  # moments and dialogues
    assert records.goes_on_from(message(records.evaluate_config(0, "base"))) is None
    assert records.goes_on_from(message(records.evaluate_config(3, "final"))) == 4
    assert records.goes_on_from(message(records.evaluate_config(3, "final"), adapter)) is None
