"""The ways of answering, and what comes of each: replies, likelihoods, training examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Asked, Decoding, OwnExample, ReplyRequest, Turn
from ecc_fed.evolution.answering.model import ModelAlone
from ecc_fed.evolution.answering.model_with_examples import ModelWithExamples
from ecc_fed.evolution.answering.nearest_example import NearestExample
from ecc_fed.evolution.answering.nearest_or_model import NearestOrModel
from ecc_fed.evolution.answering.replies import likelihoods_of, reply_to, to_train_on
from ecc_fed.evolution.routing.signals import signals_of
from tests.evolution.fakes import CountingModel, pair

SAID = (Turn("customer", "你好"), Turn("agent", "在的"))
KNOWN = (
    OwnExample("a", (Turn("customer", "发什么快递"),), "圆通哦"),
    OwnExample("b", (*SAID, Turn("customer", "什么时候发货")), "今天发"),
    OwnExample("c", (Turn("customer", "多少钱一斤"),), "九块九"),
)
COURIER = Asked((*SAID, Turn("customer", "发啥快递")))


class Noting(CountingModel):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[ReplyRequest] = []

    def reply(self, requests):  # type: ignore[no-untyped-def]
        self.requests += requests
        return super().reply(requests)


def test_the_model_alone_reads_the_dialogue() -> None:
    assert ModelAlone().prepare([COURIER], KNOWN) == [COURIER.prompt]


def test_the_nearest_examples_answer_is_copied() -> None:
    assert NearestExample().prepare([COURIER, Asked((Turn("customer", "几钱一斤"),))], KNOWN) == ["圆通哦", "九块九"]
    assert NearestExample().prepare([COURIER], ()) == [COURIER.prompt], "nothing to copy: the model answers"
    itself = Asked(KNOWN[0].prompt, "a")
    assert NearestExample().prepare([itself], KNOWN)[0] != "圆通哦"
    assert NearestExample().prepare([itself], KNOWN[:1]) == [itself.prompt]


def test_near_questions_get_a_copy_and_the_model_is_asked_about_the_others_and_learns_all() -> None:
    far = Asked((Turn("customer", "可以退吗"),))
    assert NearestOrModel(0.85).prepare([COURIER, far], KNOWN) == ["圆通哦", far.prompt]
    same = Asked((Turn("customer", "发什么快递"),))
    assert NearestOrModel(0.0).prepare([COURIER, same], KNOWN) == [COURIER.prompt, "圆通哦"]
    assert NearestOrModel(1.0).prepare([far], KNOWN)[0] in ("圆通哦", "今天发", "九块九")
    assert NearestOrModel().prepare([COURIER], ()) == [COURIER.prompt]
    # What it knows itself it trains on, each as the bare model reads it.
    assert [each.prompt for each in to_train_on(KNOWN, KNOWN, NearestOrModel(1.0))] == [each.prompt for each in KNOWN]
    # By the question, as devices note it down for every reply.
    asked, known = replace(pair("a", "x"), query=COURIER.query), [replace(pair("a", "y"), query=e.query) for e in KNOWN]
    (noted,) = signals_of([asked], [None], known)
    assert noted.distance is not None
    just_below, just_above = noted.distance - 0.001, noted.distance + 0.001
    assert NearestOrModel(just_below).prepare([COURIER], KNOWN) == [COURIER.prompt]
    assert NearestOrModel(just_above).prepare([COURIER], KNOWN) == ["圆通哦"]
    for wrong in (-0.1, 1.5):
        with pytest.raises(ConfigError, match=r"answering\.max_distance"):
            NearestOrModel(wrong)


def test_examples_stand_before_the_dialogue_the_nearest_last_without_their_own_contexts() -> None:
    (prompt,) = ModelWithExamples(2, "question").prepare([COURIER], KNOWN)
    assert prompt[-5:] == (Turn("customer", "发什么快递"), Turn("agent", "圆通哦"), *COURIER.prompt)
    assert prompt[:-5] == (Turn("customer", "什么时候发货"), Turn("agent", "今天发"))
    (one,) = ModelWithExamples(1, "question").prepare([COURIER], KNOWN)
    assert one == prompt[-5:]
    assert ModelWithExamples(2).prepare([COURIER], ()) == [COURIER.prompt]
    with pytest.raises(ConfigError, match=r"answering\.count=0"):
        ModelWithExamples(0)


def test_only_prompts_reach_the_model_and_every_reply_keeps_its_place() -> None:
    model, first, second = Noting(), COURIER.prompt, KNOWN[2].prompt
    answered = reply_to([first, "copied", second], None, Decoding(), model, 5)
    assert [each.text for each in answered] == ["bad 发啥快递", "copied", "bad 多少钱一斤"]
    assert [each.margin for each in answered] == [
        CountingModel.margin("bad 发啥快递"), None, CountingModel.margin("bad 多少钱一斤"),
    ]  # fmt: skip
    assert model.requests == [ReplyRequest(None, (first, second), Decoding(), 5)]
    reply_to(["copied"], None, Decoding(), model, 5)
    assert len(model.requests) == 1


def test_a_copy_has_no_likelihood() -> None:
    found = likelihoods_of([COURIER.prompt, "copied", KNOWN[2].prompt], ["x", "yy", "zzz"], None, CountingModel())
    assert [each and each.characters for each in found] == [1, None, 3]


def test_a_training_example_stands_behind_others_and_never_behind_itself() -> None:
    cloud = OwnExample("a", KNOWN[0].prompt, "cloud")  # the cloud answered the same pair
    known = (cloud, *KNOWN)
    drawn = [KNOWN[0], KNOWN[2], KNOWN[0]]
    trained = to_train_on(drawn, known, ModelWithExamples(5))
    assert [each.reply for each in trained] == ["圆通哦", "九块九", "圆通哦"]
    for example, source in zip(trained, drawn, strict=True):
        others = [turn.text for turn in example.prompt[: -len(source.prompt)] if turn.role == "agent"]
        assert sorted(others) == sorted(each.reply for each in known if each.pair_id != source.pair_id)
        assert example.prompt[-len(source.prompt) :] == source.prompt
    assert [each.prompt for each in to_train_on(drawn, known, ModelAlone())] == [each.prompt for each in drawn]


def test_what_is_copied_trains_no_model() -> None:
    assert to_train_on(KNOWN, KNOWN, NearestExample()) == ()
    alone = to_train_on(KNOWN[:1], KNOWN[:1], NearestExample())
    assert [each.prompt for each in alone] == [KNOWN[0].prompt], "a shop of one example leaves it to its model"
