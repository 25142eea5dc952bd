"""A chat with a shop that answers from its own examples answers as the run did, and learns by knowing more."""

from dataclasses import replace
from pathlib import Path

from ecc_fed.core.records import ReplyRequest
from ecc_fed.evolution.answering.cloud import CloudAlone
from ecc_fed.evolution.answering.model_with_examples import ModelWithExamples
from ecc_fed.evolution.answering.nearest_example import NearestExample
from ecc_fed.evolution.review.replay import replay
from ecc_fed.privacy.redaction.redactors import PatternRedaction
from tests.evolution.fakes import services
from tests.evolution.review.test_session import jobs, review, silence


def test_a_shop_that_copies_says_its_nearest_answer_and_a_lesson_is_one_example_more(tmp_path: Path) -> None:
    given, heard, said = replace(services(), answering=NearestExample("question")), list[ReplyRequest](), list[str]()
    shop_review = review(tmp_path, given, heard=heard)
    answer = shop_review.ask((), "q s0", said.append)
    assert (answer.reply, said, heard) == ("cloud q s0", ["cloud q s0"], [])
    learned = shop_review.mark(answer, "better", "taught")
    assert learned.label is not None and learned.losses == () and jobs(given) == []
    assert shop_review.ask((), "q s0", silence).reply == "taught"
    assert shop_review.ask((), "q h1", silence).reply == "发圆通"
    again = shop_review.ask((), "q s0", silence)
    shop_review.mark(again, "better", "taught anew")
    assert shop_review.ask((), "q s0", silence).reply == "taught anew"
    # The next chat goes on from what it learned, and a replay answers the same way.
    later = review(tmp_path, given)
    assert later.ask((), "q s0", silence).reply == "taught anew" and later.lessons == 2
    assert [replayed.reply for replayed in replay(later)] == ["taught anew"]


def test_a_model_with_examples_reads_them_in_the_chat_and_trains_with_them(tmp_path: Path) -> None:
    given, heard = replace(services(), answering=ModelWithExamples(2, "question")), list[ReplyRequest]()
    shop_review = review(tmp_path, given, heard=heard)
    answer = shop_review.ask((), "q s0", silence)
    (prompt,) = heard[0].prompts
    assert [turn.text for turn in prompt][-3:] == ["q s0", "cloud q s0", "q s0"] and len(prompt) == 5
    shop_review.mark(answer, "better", "taught")
    (job,) = jobs(given)
    lessons = [example for example in job.examples if example.reply == "taught"]
    assert lessons and all(len(example.prompt) == 5 for example in job.examples)
    assert all("taught" not in {turn.text for turn in example.prompt} for example in lessons), "never behind itself"
    shop_review.ask((), "q s0", silence)
    assert [turn.text for turn in heard[-1].prompts[0]][-3:] == ["q s0", "taught", "q s0"]
    assert [each.now is not None for each in replay(shop_review)] == [True]


def test_where_the_cloud_answers_the_chat_says_its_reply_and_holds_it_against_nothing(tmp_path: Path) -> None:
    given, said = replace(services(), answering=CloudAlone()), list[str]()
    shop_review = review(tmp_path, given)
    answer = shop_review.ask((), "q s0", said.append)
    assert (answer.reply, said, answer.judgement) == ("cloud q s0", ["cloud q s0"], None)
    assert [request.purpose for request in given.gateway.requests] == ["serve"]
    learned = shop_review.mark(answer, "bad")
    assert learned.label is None, "it has nothing better to say"
    assert len(given.gateway.requests) == 1
    assert [row.reply for row in replay(review(tmp_path, given))] == ["cloud q s0"]
    assert len(given.gateway.requests) == 1, "a replay asks no cloud"


def test_the_examples_that_a_lesson_is_read_behind_are_masked(tmp_path: Path) -> None:
    given = replace(services(), answering=ModelWithExamples(2, "question"), training_redactor=PatternRedaction())
    shop_review = review(tmp_path, given)
    for phone in ("13800001111", "13900002222"):
        shop_review.mark(shop_review.ask((), f"电话{phone}", silence), "better", f"打{phone}")
    behind = [turn.text for example in jobs(given)[-1].examples for turn in example.prompt[:-1]]
    assert "打[电话x]" in behind and not any("13" in said for said in behind)
