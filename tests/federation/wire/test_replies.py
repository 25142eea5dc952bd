"""What a reply holds comes across, and what lies is refused by what is wrong with it."""

import time
import tracemalloc

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from ecc_fed.core.aggregation import EVERYTHING, NOTHING, AdapterUpdate
from ecc_fed.core.records import EvaluationReport
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.wire import replies
from ecc_fed.federation.wire.checks import RefusedReply
from ecc_fed.federation.wire.records import ARRAYS, METRICS, SCALE
from ecc_fed.federation.wire.replies import Asked
from tests.federation import hostile
from tests.federation.fakes import SHAPES, A, B, make_adapter

ASKED = Asked("0123456789abcdef", "train", 3, "a")
ANSWERED = ConfigRecord({"run": ASKED.run, "phase": "train", "server-round": 3, "shop-id": "a"})
LIMITS = ReplyLimits(max_examples=100)


def sound(**changes) -> RecordDict:
    update = {"adapter": make_adapter("a"), "num_examples": 12, "scale": 1.0, "metrics": {"loss": 0.5}, **changes}
    return replies.train_reply(AdapterUpdate("a", 3, **update), EVERYTHING, ANSWERED)


def read(content: RecordDict, wanted=SHAPES, limits=LIMITS, asked=ASKED, **rules) -> AdapterUpdate:
    return replies.read_update(content, asked, wanted, limits, **{"mixed_ranks": False, "masked": False, **rules})


def test_replies_survive_the_journey_and_keep_the_adapter_at_home_unless_asked():
    update = AdapterUpdate("a", 3, make_adapter("a"), 12, 0.3, {"loss": np.float32(0.5), "steps": 3})
    limits = ReplyLimits(scale_at=lambda rank: 0.3 if rank == 2 else 0.0)
    back = read(replies.train_reply(update, EVERYTHING, ANSWERED), limits=limits)
    assert (back.shop_id, back.server_round, back.num_examples, back.scale) == ("a", 3, 12, 0.3)
    assert back.metrics == {"loss": 0.5, "steps": 3.0}
    assert list(back.adapter) == [A, B]
    assert all(np.array_equal(back.adapter[name], update.adapter[name]) for name in update.adapter)
    back.adapter[A][...] = 0  # its own, not the message's bytes
    kept = replies.train_reply(update, NOTHING, ANSWERED)
    assert not kept.array_records
    assert SCALE not in kept.metric_records[METRICS]
    assert read(kept, wanted={}).adapter == {}
    asked = Asked(ASKED.run, "final", 3, "a")
    evaluation = EvaluationReport(4, {"score": 0.25})
    content = replies.evaluate_reply(evaluation, ConfigRecord({**ANSWERED, "phase": "final"}))
    assert replies.read_evaluate_reply(content, asked) == evaluation


@pytest.mark.parametrize("name", hostile.LIES)
def test_a_reply_that_lies_is_refused_by_what_is_wrong_with_it(name):
    lie, reason = hostile.LIES[name]
    content = lie(sound())
    with pytest.raises(RefusedReply if name != "what raises" else RuntimeError) as caught:
        read(content)
    if name != "what raises":
        assert reason in str(caught.value)
        assert len(str(caught.value)) < 700 and str(caught.value).isprintable()
    assert hostile.Armed.fired == []


def test_a_tensor_in_fortrans_order_is_read_as_it_is_meant():
    arrays = {n: Array(np.asfortranarray(t)) for n, t in make_adapter("a").items()}
    content = RecordDict({**sound(), ARRAYS: ArrayRecord(arrays)})
    assert all(np.array_equal(read(content).adapter[name], tensor) for name, tensor in make_adapter("a").items())


def test_values_that_are_masked_may_be_large_but_not_infinite():
    huge = {name: np.full(shape, 3e38, np.float32) for name, shape in SHAPES.items()}
    assert read(sound(adapter=huge), masked=True).adapter[A][0, 0] == np.float32(3e38)
    with pytest.raises(RefusedReply, match="10000 is the limit"):
        read(sound(adapter=huge))
    with pytest.raises(RefusedReply, match="not finite"):
        read(sound(adapter={**huge, A: np.full(SHAPES[A], np.inf, np.float32)}), masked=True)


def test_the_scale_is_the_settings_own_at_the_rank_that_came():
    limits = ReplyLimits(scale_at=lambda rank: 32 / rank)
    half = {A: np.ones((1, 5), np.float32), B: np.ones((4, 1), np.float32)}
    assert read(sound(adapter=half, scale=32.0), limits=limits, mixed_ranks=True).scale == 32.0
    with pytest.raises(RefusedReply, match=r"metrics\.scale is 16\.0; the run's settings give 32\.0"):
        read(sound(adapter=half, scale=16.0), limits=limits, mixed_ranks=True)
    prefix = {"prefix": np.ones(3, np.float32)}
    assert read(sound(adapter=prefix), {"prefix": (3,)}, limits).scale == 1.0


def test_an_adapter_that_was_not_asked_for_is_refused():
    with pytest.raises(RefusedReply, match="holds arrays, which was not asked for, and 0 more"):
        read(sound(), wanted={})


def test_what_is_claimed_takes_no_memory_and_a_hundred_thousand_of_anything_little_time():
    claims = hostile.LIES["10^12 elements"][0](sound())
    many, metrics = hostile.many_tensors(sound()), hostile.LIES["100,000 metrics"][0](sound())
    started = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(RefusedReply, match="claims"):
            read(claims)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    with pytest.raises(RefusedReply, match=r"unexpected 0 and 99999 more"):
        read(many)
    with pytest.raises(RefusedReply, match="holds 100002 metrics"):
        read(metrics)
    assert time.process_time() - started < 3


def test_a_control_variate_is_read_with_the_same_doubts_as_an_adapter():
    change = {name: 0.1 * tensor for name, tensor in make_adapter("c").items()}
    back = read(sound(control=change), control=SHAPES)
    assert all(np.array_equal(back.control[name], change[name]) for name in change)
    with pytest.raises(RefusedReply, match="holds control, which was not asked for"):
        read(sound(control=change))
    with pytest.raises(RefusedReply, match="of its control variate: the reply holds no adapter"):
        read(sound(), control=SHAPES)
    for wrong, reason in (
        ({A: change[A]}, f"lacks {B}"),
        ({**change, A: change[A].T}, "has shape"),
        ({**change, A: np.full_like(change[A], np.nan)}, "not finite"),
        ({**change, B: np.full_like(change[B], 1e9)}, "is the limit"),
    ):
        with pytest.raises(RefusedReply, match=f"of its control variate: .*{reason}"):
            read(sound(control=wrong), control=SHAPES)
