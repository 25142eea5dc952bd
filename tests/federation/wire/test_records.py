import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from ecc_fed.core.aggregation import EVERYTHING, LORA_A, LORA_B, NOTHING, WHOLE, AdapterUpdate, Exchange
from ecc_fed.core.records import AdapterState, EvaluationReport
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.arrays import to_arrays
from ecc_fed.federation.wire.checks import RefusedReply
from tests.federation.fakes import make_adapter


def test_requests_survive_the_journey():
    for exchange in (WHOLE, Exchange(LORA_A, LORA_B), Exchange(EVERYTHING, NOTHING)):
        content = records.instructions(to_arrays(make_adapter("a")), records.train_config(3, exchange))
        request = records.read_train_request(content)
        assert (request.server_round, request.exchange) == (3, exchange)
        assert request.incoming is not None
        assert content.config_records[records.CONFIG].count_bytes() > 0  # Flower cannot count empty values
    content = records.instructions(ArrayRecord(), records.evaluate_config(0, "base"))
    evaluation = records.read_evaluate_request(content)
    assert (evaluation.server_round, evaluation.incoming, evaluation.phase) == (0, None, "base")


def test_a_message_without_settings_names_what_is_missing():
    with pytest.raises(ValueError, match=r"lacks config\.server-round; server and shop must run the same version"):
        records.read_train_request(RecordDict())


def test_replies_survive_the_journey_and_keep_the_adapter_at_home_unless_asked():
    update = AdapterUpdate("a", 3, make_adapter("a"), 12, 0.3, {"loss": np.float32(0.5), "steps": 3})
    back = records.read_update(records.train_reply(update, EVERYTHING), "a", 3, EVERYTHING)
    assert (back.shop_id, back.server_round, back.num_examples, back.scale) == ("a", 3, 12, 0.3)
    assert back.metrics == {"loss": 0.5, "steps": 3.0}
    assert all(np.array_equal(back.adapter[name], update.adapter[name]) for name in update.adapter)
    kept = records.train_reply(update, NOTHING)
    assert not kept.array_records
    assert records.SCALE not in kept.metric_records[records.METRICS]
    assert records.read_update(kept, "a", 3, NOTHING).adapter == {}
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
        (
            ArrayRecord({"x": Array("float32", (2,), "numpy.ndarray", b"junk")}),
            {"num-examples": 1},
            "a tensor cannot be read",
        ),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {}, "num-examples is None"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": -1}, "num-examples is -1"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": 2.5}, "num-examples is 2.5"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": 1, "l": [1.0]}, "metrics.l is a list"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": 1}, "metrics.scale is nan"),
        (ArrayRecord({"x": Array(np.ones(2, np.float32))}), {"num-examples": 1, "scale": 0.0}, "metrics.scale is 0.0"),
    ],
)
def test_a_spoilt_reply_is_refused_with_its_reason(adapter, metrics, reason):
    with pytest.raises(RefusedReply, match=reason):
        records.read_update(reply_with(adapter, metrics), "a", 1, EVERYTHING)


def test_traffic_counts_every_byte_by_kind():
    identify_process(1)
    tensor = np.ones((2, 3), np.float32)
    arrays = to_arrays({"name": tensor})
    message = Message(records.instructions(arrays, records.train_config(2, WHOLE)), 2, "train")
    entries = records.traffic_entries("shop", 2, "down", message)
    payload = len(arrays["name"].data)
    assert payload >= tensor.nbytes
    assert {entry.kind: entry.num_bytes for entry in entries} == {
        "adapter": payload + len("name"),
        "config": len("server-round") + 8 + len("train") + len('["*"]') + len("up") + len('["*"]'),
    }
    assert {(entry.destination, entry.direction, entry.shop_id, entry.server_round) for entry in entries} == {
        ("aggregator", "down", "shop", 2)
    }
    error = Message(Error(2, "no power: 断电"), reply_to=message)
    assert [(e.kind, e.num_bytes) for e in records.traffic_entries("shop", 2, "up", error)] == [("error", 16)]


def test_nothing_sent_is_no_entry():
    identify_process(1)
    message = Message(records.instructions(ArrayRecord(), records.train_config(1, WHOLE)), 2, "train")
    assert [entry.kind for entry in records.traffic_entries("shop", 1, "down", message)] == ["config"]


def test_a_shops_own_state_is_wanted_only_where_a_message_goes_on_from_it():
    def message(config: ConfigRecord, state: AdapterState | None = None) -> Message:
        return Message(records.instructions(to_arrays(state), config), 1, "train")

    identify_process(1)
    adapter = make_adapter("x")
    assert records.goes_on_from(message(records.train_config(3, WHOLE))) == 3
    assert records.goes_on_from(message(records.train_config(3, WHOLE), adapter)) == 3  # moments and dialogues
    assert records.goes_on_from(message(records.evaluate_config(0, "base"))) is None
    assert records.goes_on_from(message(records.evaluate_config(3, "final"))) == 4
    assert records.goes_on_from(message(records.evaluate_config(3, "final"), adapter)) == 4  # the tensors not sent
