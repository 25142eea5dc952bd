"""A device with secure aggregation sends nothing in the clear, and one without nothing masked."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.secure_aggregation.vectors import as_adapter, as_vector, length_of
from tests.federation.fakes import SHAPES, FakeDevice, aggregated, make_adapter, personalized

from .devices import MOST, SecureDevice, play, secure_plan

SHOPS = ["a", "b", "c"]


def test_a_server_that_asks_in_the_clear_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    device = SecureDevice(SHOPS, tmp_path)
    result = play(aggregated(1, evaluates_base=False), device)
    reasons = {each.reason for each in result.rounds[0].failures}
    assert reasons == {"RefusedRequest: the server asks for an update in the clear, and secure_aggregation is on"}
    assert result.state.aggregate is None and not device.sent


def test_a_device_without_it_says_so(tmp_path: Path) -> None:
    class Half(SecureDevice):
        def participant(self, shop_id):
            return None if shop_id == "c" else super().participant(shop_id)

    for device in (Half(SHOPS, tmp_path), FakeDevice(tuple(SHOPS))):
        result = play(secure_plan(1), device)
        reasons = {each.reason for each in result.rounds[0].failures}
        assert reasons == {
            "stage keys: ConfigError: the server asks for secure aggregation, and this shop runs without. "
            "Give both the same settings."
        }


def test_rounds_without_uploads_need_no_stages(tmp_path: Path) -> None:
    plan = replace(personalized(2, 1), limits=ReplyLimits(max_examples=MOST), secure=secure_plan().secure)
    result = play(plan, SecureDevice(SHOPS, tmp_path))
    kinds = [{entry.kind for entry in record.traffic} for record in result.rounds]
    assert "secure_aggregation" in kinds[0]
    assert "secure_aggregation" not in kinds[1] and "metrics" not in kinds[1]


def test_an_adapter_is_one_vector_and_back() -> None:
    adapter = make_adapter("any")
    vector = as_vector(dict(reversed(adapter.items())))
    assert vector.shape == (length_of(SHAPES),) == (18,)
    again = as_adapter(vector.astype(np.float64), SHAPES)
    assert list(again) == list(SHAPES)
    assert all(np.array_equal(again[name], adapter[name]) for name in SHAPES)


def test_a_number_alone_and_none_have_their_length() -> None:
    assert (length_of({}), length_of({"x": ()}), length_of({"x": (2, 0)})) == (0, 1, 0)
