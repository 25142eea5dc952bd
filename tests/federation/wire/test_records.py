import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict

from ecc_fed.core.aggregation import EVERYTHING, LORA_A, LORA_B, NOTHING, WHOLE, Exchange
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.arrays import to_arrays
from tests.federation.fakes import make_adapter


def test_requests_survive_the_journey():
    for exchange in (WHOLE, Exchange(LORA_A, LORA_B), Exchange(EVERYTHING, NOTHING, turns=True)):
        content = records.instructions(to_arrays(make_adapter("a")), records.train_config(3, exchange), "run")
        request = records.read_train_request(content)
        assert (request.server_round, request.exchange) == (3, exchange)
        assert request.incoming is not None
        assert content.config_records[records.CONFIG].count_bytes() > 0  # Flower cannot count empty values
    content = records.instructions(ArrayRecord(), records.evaluate_config(0, "base"), "run")
    evaluation = records.read_evaluate_request(content)
    assert (evaluation.server_round, evaluation.incoming, evaluation.phase) == (0, None, "base")


def test_a_message_without_settings_names_what_is_missing():
    with pytest.raises(ValueError, match=r"lacks config\.server-round; server and shop must run the same version"):
        records.read_train_request(RecordDict())


def test_traffic_counts_every_byte_by_kind():
    identify_process(1)
    tensor = np.ones((2, 3), np.float32)
    arrays = to_arrays({"name": tensor})
    message = Message(records.instructions(arrays, records.train_config(2, WHOLE), "0123"), 2, "train")
    entries = records.traffic_entries("shop", 2, "down", message)
    payload = len(arrays["name"].data)
    assert payload >= tensor.nbytes
    assert {entry.kind: entry.num_bytes for entry in entries} == {
        "adapter": payload + len("name"),
        "config": len("runphaseserver-roundtrainupturnskeeps-control")
        + len("0123")
        + len("train")
        + 1  # a small number
        + 2 * len('["*"]')
        + 2,
        "envelope": entries[-1].num_bytes,
    }
    assert {(entry.destination, entry.direction, entry.shop_id, entry.server_round) for entry in entries} == {
        ("aggregator", "down", "shop", 2)
    }
    error = Message(Error(2, "no power: 断电"), reply_to=message)
    found = records.traffic_entries("shop", 2, "up", error)
    assert [(e.kind, e.num_bytes) for e in found] == [("error", 16), ("envelope", found[-1].num_bytes)]


def test_a_record_that_flower_cannot_count_is_counted_all_the_same():
    identify_process(1)
    content = RecordDict({"config": ConfigRecord({"names": [], "text": "", "round": 3})})
    with pytest.raises((ValueError, IndexError)):
        content.config_records["config"].count_bytes()
    entries = records.traffic_entries("shop", 2, "up", Message(content, 2, "train"))
    size = len("names") + len("text") + len("round") + 1
    assert [(e.kind, e.num_bytes) for e in entries] == [("config", size), ("envelope", entries[-1].num_bytes)]


def test_a_reply_says_what_it_answers_in_the_messages_own_words():
    content = records.instructions(ArrayRecord(), records.evaluate_config(3, "final"), "0123")
    expected = {"run": "0123", "phase": "final", "server-round": 3, "shop-id": "a"}
    assert dict(records.answered(content, "a")) == expected
    with pytest.raises(ValueError, match=r"lacks config\.run"):
        records.answered(RecordDict({"config": records.evaluate_config(3, "final")}), "a")


def test_nothing_sent_is_no_entry():
    identify_process(1)
    message = Message(records.instructions(ArrayRecord(), records.train_config(1, WHOLE), "0123"), 2, "train")
    assert [entry.kind for entry in records.traffic_entries("shop", 1, "down", message)] == ["config", "envelope"]


def test_a_shops_own_state_is_wanted_only_where_a_message_goes_on_from_it():
    def message(config: ConfigRecord, state: AdapterState | None = None) -> Message:
        return Message(records.instructions(to_arrays(state), config, "0123"), 1, "train")

    identify_process(1)
    adapter = make_adapter("x")
    assert records.goes_on_from(message(records.train_config(3, WHOLE))) == 3
    assert records.goes_on_from(message(records.train_config(3, WHOLE), adapter)) == 3  # moments and dialogues
    assert records.goes_on_from(message(records.evaluate_config(0, "base"))) is None
    assert records.goes_on_from(message(records.evaluate_config(3, "final"))) == 4
    assert records.goes_on_from(message(records.evaluate_config(3, "final"), adapter)) == 4  # the tensors not sent
