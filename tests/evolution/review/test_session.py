"""Marks, lessons and replay on small stand-ins: what is learned, kept, refused, and left as it was."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import RunDirectoryError, UserError
from ecc_fed.core.records import (
    AdapterState,
    Decoding,
    EgressEntry,
    Example,
    FineTuneSettings,
    PseudoLabel,
    ReplyRequest,
    Turn,
)
from ecc_fed.core.rows import LessonRow
from ecc_fed.core.run_directory import read_jsonl
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.evolution.experience import Experience, draw_examples
from ecc_fed.evolution.private_training import PrivateTraining
from ecc_fed.evolution.review.lesson import Lesson
from ecc_fed.evolution.review.marks import agreement, last_words, read_marks
from ecc_fed.evolution.review.replay import replay
from ecc_fed.evolution.review.session import Review, sole_chat
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import ShopState, adapter_digest, finished_rounds, load_state
from ecc_fed.privacy.record_level import PrivacySettings
from ecc_fed.privacy.redaction.redactors import PatternRedaction
from tests.evolution.fakes import (
    NAMES,
    CountingModel,
    EchoGateway,
    PrefixJudge,
    services,
    settings,
    shop,
    write_adapter,
)

SHOP = shop()
HISTORY = tuple(pair.pair_id for pair in SHOP.history)
RUN_LABEL = PseudoLabel("shop_0/s0", SHOP.stream[0].prompt, "cloud q s0", "echo-1", "low_score", 1)


def adapter(steps: float = 0) -> AdapterState:
    return {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.full((3, 2), steps, np.float32)}


def review(
    tmp_path: Path,
    given: Services | None = None,
    loop: LoopSettings | None = None,
    answering: AdapterState | None = None,
    steps: int = 4,
    label_share: float = 0.5,
    seed: int = 0,
    heard: list[ReplyRequest] | None = None,
) -> Review:
    given = given or services()

    def stream(request, say):
        if heard is not None:
            heard.append(request)
        text = given.end_model.reply([request])[0][0]
        for character in text:
            say(character)
        return text

    end = ShopState(
        "shop_0",
        2,
        adapter(),
        optimizer={"step": np.array(6, np.float32)},
        natural_ids=HISTORY,
        pseudo_labels=(RUN_LABEL,),
        egress=(EgressEntry("shop_0", 1, "cloud_teacher", "up", "query", 77),),
    )
    return Review(
        SHOP,
        end,
        adapter() if answering is None else answering,
        tmp_path / "chat",
        given,
        replace(loop or settings(), fine_tune=FineTuneSettings(steps=2, batch_size=4)),
        Lesson(steps, 2e-3, label_share),
        stream,
        write_adapter,
        seed,
        ("embedded", "f00d"),
    )


def silence(piece: str) -> None:
    pass


def jobs(given: Services):
    assert isinstance(given.end_model, CountingModel)
    return given.end_model.jobs


def requests(given: Services):
    assert isinstance(given.gateway, EchoGateway)
    return given.gateway.requests


def test_a_bad_mark_asks_the_cloud_learns_and_the_next_answer_is_better(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given)
    pieces: list[str] = []
    answer = shop_review.ask((), "which courier", pieces.append)
    assert "".join(pieces) == answer.reply == "bad which courier"
    assert answer.judgement is not None and not answer.judgement.accepted
    learned = shop_review.mark(answer, "bad")
    assert learned.label is not None and learned.label.reply == "cloud which courier"
    assert len(requests(given)) == 1, "the answer that scored the reply is the label"
    assert shop_review.ask((), "which courier", silence).reply == "good which courier"
    assert len(requests(given)) == 1, "the cloud's answer to the same prompt is paid once"
    job = jobs(given)[0]
    assert (len(job.examples), job.optimizer) == (16, None)
    assert sum(example.reply == "cloud which courier" for example in job.examples) == 8
    assert {e.reply for e in job.examples} <= {"cloud which courier", "cloud q s0", "发圆通"}


def test_a_shop_that_trained_under_a_budget_learns_nothing_from_a_mark_and_keeps_it(tmp_path: Path) -> None:
    given, budget = services(), PrivateTraining(8.0, PrivacySettings(8.0), 4)
    shop_review = review(tmp_path, given, replace(settings(), private=budget))
    answer = shop_review.ask((), "which courier", silence)
    assert shop_review.mark(answer, "good").label is None
    with pytest.raises(UserError, match=r"nothing is learned.*shop_0 has trained under privacy\.epsilon=8"):
        shop_review.mark(answer, "better", "we use 圆通")
    assert [mark.mark for mark in shop_review.marks] == ["good", "better"] and jobs(given) == []
    assert shop_review.ask((), "which courier", silence).reply == answer.reply


def test_the_few_shots_and_the_bytes_that_left_are_the_shops(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given, settings(teacher_examples=3))
    shop_review.mark(shop_review.ask((), "hello", silence), "bad")
    assert requests(given)[0].examples == tuple((pair.query, pair.reply) for pair in SHOP.history[-3:])
    egress = read_jsonl(tmp_path / "chat" / "egress.jsonl")
    assert [(row["shop_id"], row["num_bytes"]) for row in egress] == [("shop_0", 5)]


def test_a_better_answer_is_learned_without_the_cloud(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given, settings(reference="sampled", reference_rate=0.0))
    answer = shop_review.ask((Turn("customer", "hi"), Turn("agent", "yes")), "which courier", silence)
    assert answer.judgement is None and answer.relevance == 0
    learned = shop_review.mark(answer, "better", "we use 圆通")
    assert learned.label is not None and learned.label.model_version == "human"
    assert learned.label.prompt == (Turn("customer", "hi"), Turn("agent", "yes"), Turn("customer", "which courier"))
    assert requests(given) == []
    (row,) = read_jsonl(tmp_path / "chat" / "marks.jsonl")
    assert (row["mark"], row["better"], row["label"]) == ("better", "we use 圆通", "we use 圆通")
    assert row["final_score"] is None and row["cloud_reply"] is None
    assert (row["model"], row["model_sha256"]) == ("embedded", "f00d")
    assert len(row["adapter_sha256"]) == 64 and row["time"].endswith("+00:00")


def test_an_unscored_bad_mark_gets_its_score_with_its_label(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given, settings(reference="sampled", reference_rate=0.0))
    shop_review.mark(shop_review.ask((), "x", silence), "bad")
    assert [request.purpose for request in requests(given)] == ["pseudo_label"]
    (mark,) = shop_review.marks
    assert (mark.final_score, mark.cloud_reply, mark.cloud_model) == (0.0, "cloud x", "echo-1")


def test_a_good_mark_is_kept_and_nothing_is_learned(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given, answering=adapter(9))
    assert shop_review.mark(shop_review.ask((), "x", silence), "good").label is None
    assert jobs(given) == []
    assert finished_rounds(tmp_path / "chat") == []
    assert [mark.good for mark in read_marks(shop_review.marks_path)] == [True]


def test_a_dead_teacher_keeps_the_mark_and_the_human_can_still_teach(tmp_path: Path) -> None:
    given = services(dead_teacher=True)
    shop_review = review(tmp_path, given)
    answer = shop_review.ask((), "x", silence)
    assert shop_review.mark(answer, "bad").label is None
    assert jobs(given) == []
    assert shop_review.mark(answer, "better", "right").label is not None
    assert [mark.mark for mark in shop_review.marks] == ["bad", "better"]
    assert [mark.mark for mark in last_words(shop_review.marks)] == ["better"]


def test_lessons_go_on_in_a_new_process_and_earlier_ones_are_rehearsed(tmp_path: Path) -> None:
    first = review(tmp_path)
    for query in ("a", "b"):
        first.mark(first.ask((), query, silence), "better", f"label {query}")
    given = services()
    second = review(tmp_path, given)
    assert second.lessons == 2
    assert all(np.array_equal(second.answering[name], first.answering[name]) for name in NAMES)
    second.mark(second.ask((), "c", silence), "better", "label c")
    replies = [example.reply for example in jobs(given)[0].examples]
    assert [replies.count(f"label {name}") for name in "cab"] == [4, 2, 2]
    assert len([reply for reply in replies if not reply.startswith("label")]) == 8
    state = load_state(tmp_path / "chat", 3)
    assert [label.reply for label in state.pseudo_labels] == ["cloud q s0", "label a", "label b", "label c"]
    hashes = [(row.from_sha256, row.to_sha256) for row in state.lessons]
    assert hashes[0][1] == hashes[1][0] and hashes[1][1] == hashes[2][0]


def test_a_second_label_for_the_same_prompt_takes_the_firsts_place(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    for text in ("one", "two"):
        shop_review.mark(shop_review.ask((), "a", silence), "better", text)
    assert [label.reply for label in load_state(tmp_path / "chat", 2).pseudo_labels] == ["cloud q s0", "two"]


def test_the_same_marks_give_the_same_adapter(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        given = services()
        shop_review = review(tmp_path / name, given)
        shop_review.mark(shop_review.ask((), "a", silence), "bad")
        found.append((jobs(given)[0].examples, jobs(given)[0].seed, shop_review.marks[0].reply_seed))
    assert found[0] == found[1]


def test_a_chat_that_grew_from_another_run_is_refused(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    shop_review.mark(shop_review.ask((), "a", silence), "bad")
    with pytest.raises(UserError) as caught:
        review(tmp_path, answering=adapter(1))
    assert str(caught.value) == (
        f"{tmp_path / 'chat'} holds a chat that began from another adapter of this shop, before the run was done "
        "again. Move the folder away to start anew"
    )


def test_a_torn_line_is_mended_and_a_foreign_one_named(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    shop_review.mark(shop_review.ask((), "a", silence), "good")
    path = shop_review.marks_path
    path.write_bytes(path.read_bytes() + b'{"time": "2')
    again = review(tmp_path)
    assert len(again.marks) == 1
    again.mark(again.ask((), "b", silence), "good")
    assert [mark.query for mark in read_marks(path)] == ["a", "b"]
    path.write_text(json.dumps({"mark": "fine"}) + "\n")
    with pytest.raises(RunDirectoryError, match="row 1: time is missing"):
        review(tmp_path)


def test_a_mark_outlives_a_lesson_that_fails(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given)
    answer = shop_review.ask((), "a", silence)

    def killed(jobs):
        raise KeyboardInterrupt

    given.end_model.fine_tune = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        shop_review.mark(answer, "bad")
    assert [mark.label for mark in read_marks(shop_review.marks_path)] == ["cloud a"]
    assert finished_rounds(tmp_path / "chat") == [] and shop_review.lessons == 0


def test_every_draw_of_a_chat_has_its_stream(tmp_path: Path) -> None:
    # Frozen: another name here is another draw, and a replayed chat answers otherwise.
    given = services()
    shop_review = review(tmp_path, given, settings(reference="sampled", reference_rate=0.5), seed=7)
    answers = [shop_review.ask((), f"question {i}", silence) for i in range(12)]
    assert [answer.reply_seed for answer in answers] == [
        derive_seed(7, "chat", answer.pair.pair_id) for answer in answers
    ]
    draws = [derive_rng(7, "chat_reference", answer.pair.pair_id).random() for answer in answers]
    assert [answer.cloud is not None for answer in answers] == [draw < 0.5 for draw in draws]
    assert {request.purpose for request in requests(given)} == {"judge"}
    shop_review.mark(answers[0], "better", "right")
    shop_review.mark(answers[1], "better", "right too")
    lessons = [derive_seed(7, "chat_lesson", "shop_0", i + 1, answers[i].pair.pair_id) for i in range(2)]
    assert [job.seed for job in jobs(given)] == lessons
    # The rehearsed examples are drawn first, then all are shuffled.
    rng = derive_rng(lessons[0], "examples")
    experience = Experience(SHOP.history, (RUN_LABEL,))
    rehearsed = draw_examples(experience, 8, settings().evolution.pseudo_share, rng)
    lesson = [Example((Turn("customer", "question 0"),), "right")] * 8
    drawn = [*(Example(each.prompt, each.reply) for each in rehearsed), *lesson]
    assert jobs(given)[0].examples == tuple(drawn[i] for i in rng.permutation(16))


def test_a_question_is_known_by_shop_context_and_text(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    said = (Turn("customer", "hi"), Turn("agent", "yes"))
    pairs = [
        shop_review.pair_of((), "a"),
        shop_review.pair_of((), "b"),
        shop_review.pair_of(said, "a"),
        shop_review.pair_of((Turn("agent", "hi"), Turn("agent", "yes")), "a"),
    ]
    assert len({pair.pair_id for pair in pairs}) == 4
    assert shop_review.pair_of(said, "a") == pairs[2]
    assert (pairs[2].session_id, pairs[2].shop_id, pairs[2].context) == ("chat", "shop_0", said)
    assert (pairs[2].query, pairs[2].reply) == ("a", "")
    assert all(len(pair.pair_id) == len("chat/") + 16 and pair.pair_id.startswith("chat/") for pair in pairs)
    prompt = "\x1f".join(["shop_0", "customer", "hi", "agent", "yes", "customer", "a"])
    assert pairs[2].pair_id == f"chat/{hashlib.sha256(prompt.encode()).hexdigest()[:16]}"
    assert shop_review.pair_of((), "\ud83d") == shop_review.pair_of((), "\ud83d"), "a lone surrogate is no error"


@pytest.mark.parametrize(("label_share", "labels"), [(0.1, 2), (0.25, 4), (0.5, 8), (1.0, 16)])
def test_the_declared_share_of_a_lesson_is_the_label(tmp_path: Path, label_share: float, labels: int) -> None:
    given = services()
    shop_review = review(tmp_path, given, label_share=label_share)
    shop_review.mark(shop_review.ask((), "a", silence), "better", "label")
    examples = jobs(given)[0].examples
    assert (len(examples), sum(example.reply == "label" for example in examples)) == (16, labels)


def test_of_an_odd_number_of_labels_the_newest_has_one_more(tmp_path: Path) -> None:
    first = review(tmp_path)
    first.mark(first.ask((), "a", silence), "better", "old")
    given = services()
    second = review(tmp_path, given, steps=1, label_share=0.75)
    second.mark(second.ask((), "b", silence), "better", "new")
    replies = [example.reply for example in jobs(given)[0].examples]
    assert (len(replies), replies.count("new"), replies.count("old")) == (4, 2, 1)


def test_a_lesson_starts_from_what_answered_or_else_from_the_shops_own(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path / "own", given, answering=adapter(9))
    answer = shop_review.ask((), "a", silence)
    assert answer.adapter_sha256 == adapter_digest(adapter(9))
    shop_review.mark(answer, "better", "right")
    assert float(jobs(given)[0].adapter[NAMES[1]][0, 0]) == 9
    assert jobs(given)[0].settings == FineTuneSettings(steps=4, batch_size=4)
    learned = adapter_digest(adapter(13))
    assert load_state(tmp_path / "own" / "chat", 1).lessons == (
        LessonRow(
            lesson=1,
            pair_id=answer.pair.pair_id,
            label_source="human",
            steps=4,
            first_loss=1.0,
            last_loss=1.0,
            from_sha256=adapter_digest(adapter(9)),
            to_sha256=learned,
        ),
    )
    assert shop_review.state_folder == tmp_path / "own" / "chat" / "round_0001"
    assert shop_review.ask((), "b", silence).adapter_sha256 == learned


def test_the_model_is_asked_for_one_reply_with_the_runs_decoding(tmp_path: Path) -> None:
    heard: list[ReplyRequest] = []
    loop = settings(decoding=Decoding(max_new_tokens=9))
    shop_review = review(tmp_path, loop=loop, answering=adapter(3), heard=heard)
    said = (Turn("customer", "hi"), Turn("agent", "yes"))
    answer = shop_review.ask(said, "a", silence)
    (request,) = heard
    assert (request.decoding, request.seed) == (loop.decoding, answer.reply_seed)
    assert request.prompts == ((*said, Turn("customer", "a")),)
    assert request.adapter is not None and float(request.adapter[NAMES[1]][0, 0]) == 3
    assert shop_review.accept_score == 0.5


def test_gated_asks_the_cloud_about_an_irrelevant_reply(tmp_path: Path) -> None:
    scored: list[tuple[list[str], list[str]]] = []

    class Noting(PrefixJudge):
        def relevance(self, queries, replies):
            scored.append((list(queries), list(replies)))
            return super().relevance(queries, replies)

    given = replace(services(), judge=Noting())
    loop = settings(reference="gated", gate_relevance=0.5)
    bad = review(tmp_path / "bad", given, loop).ask((), "a", silence)
    assert bad.cloud is not None and bad.cloud.text == "cloud a"
    good = review(tmp_path / "good", given, loop, answering=adapter(9)).ask((), "a", silence)
    assert (good.cloud, good.judgement, good.relevance) == (None, None, 1.0)
    assert scored == [(["a"], ["bad a"]), (["a"], ["good a"]), (["a"], ["good a"])]


def test_a_cloud_answer_that_was_paid_for_is_used_again_whatever_the_draw(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given, settings(reference="sampled", reference_rate=0.0))
    shop_review.mark(shop_review.ask((), "a", silence), "bad")
    again = shop_review.ask((), "a", silence)
    assert again.cloud is not None and again.cloud.text == "cloud a" and again.judgement is not None
    assert len(requests(given)) == 1


def test_a_lessons_state_begins_without_the_runs_past(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    learned = shop_review.mark(shop_review.ask((), "a", silence), "better", "right")
    assert learned.losses == (1.0,) * 4
    state = load_state(tmp_path / "chat", 1)
    assert (state.optimizer, len(state.lessons), state.metrics, state.egress) == (None, 1, (), ())


def test_what_left_before_the_chat_is_not_the_chats(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given)
    given.ledger.record(EgressEntry("shop_0", 1, "cloud_teacher", "up", "query", 999))
    given.ledger.record(EgressEntry("other", 1, "cloud_teacher", "up", "query", 998))
    shop_review.ask((), "hello", silence)
    egress = read_jsonl(tmp_path / "chat" / "egress.jsonl")
    assert [(row["num_bytes"], row["server_round"]) for row in egress] == [(5, 2)]
    assert [entry.num_bytes for entry in given.ledger.entries()] == [998]


def test_a_cloud_that_fails_is_asked_again_and_its_bytes_are_kept(tmp_path: Path) -> None:
    given = services(dead_teacher=True)
    shop_review = review(tmp_path, given)
    answer = shop_review.ask((), "x", silence)
    assert answer.cloud is not None and answer.cloud.text is None and answer.judgement is None
    assert answer.relevance == 0.0
    shop_review.mark(answer, "bad")
    assert [request.purpose for request in requests(given)] == ["judge", "pseudo_label"]
    assert len(read_jsonl(tmp_path / "chat" / "egress.jsonl")) == 2
    (mark,) = shop_review.marks
    assert (mark.cloud_reply, mark.cloud_model, mark.label) == (None, None, None)


def test_whoever_gives_up_waiting_for_the_cloud_keeps_the_mark(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given, settings(reference="sampled", reference_rate=0.0))
    answer = shop_review.ask((), "x", silence)

    def interrupted(requests):
        given.ledger.record(EgressEntry("shop_0", 2, "cloud_teacher", "up", "query", 1))
        raise KeyboardInterrupt

    given.gateway.answer = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        shop_review.mark(answer, "bad")
    (mark,) = read_marks(shop_review.marks_path)
    assert (mark.mark, mark.label, mark.reply) == ("bad", None, "bad x")
    assert [row["num_bytes"] for row in read_jsonl(tmp_path / "chat" / "egress.jsonl")] == [1], "it left nevertheless"


def test_a_mark_holds_all_that_was_known_of_the_answer(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    said = (Turn("customer", "hi"), Turn("agent", "yes"))
    answer = shop_review.ask(said, "which courier", silence)
    shop_review.mark(answer, "bad")
    (mark,) = shop_review.marks
    assert (mark.shop_id, mark.pair_id) == ("shop_0", answer.pair.pair_id)
    assert (mark.context, mark.query, mark.reply) == (said, "which courier", "bad which courier")
    assert (mark.mark, mark.better, mark.label) == ("bad", None, "cloud which courier")
    assert (mark.cloud_reply, mark.cloud_model) == ("cloud which courier", "echo-1")
    scores = (mark.similarity, mark.relevance, mark.cloud_relevance, mark.final_score)
    assert scores == (0.0, 0.0, 1.0, 0.0)
    assert (mark.relevance_trusted, mark.accepted, mark.reply_seed) == (True, False, answer.reply_seed)


def test_two_chats_with_one_shop_are_one_too_many(tmp_path: Path) -> None:
    with (
        sole_chat(tmp_path / "chat"),
        pytest.raises(UserError, match="another chat"),
        sole_chat(tmp_path / "chat"),
    ):
        pass
    with sole_chat(tmp_path / "chat"):
        pass
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunDirectoryError, match=r"^cannot write .*; make the folder writable$"),
        sole_chat(tmp_path / "file"),
    ):
        pass


def test_replay_answers_every_marked_query_and_asks_nobody(tmp_path: Path) -> None:
    given = services()
    shop_review = review(tmp_path, given)
    shop_review.mark(shop_review.ask((), "a", silence), "bad")
    shop_review.mark(shop_review.ask((), "a", silence), "good")
    shop_review.mark(shop_review.ask((), "b", silence), "better", "best")
    asked = len(requests(given))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = review(tmp_path, given)
    seeds = []
    answer = given.end_model.reply

    def heard(requests):
        seeds.extend(request.seed for request in requests)
        return answer(requests)

    given.end_model.reply = heard  # type: ignore[method-assign]
    rows = replay(again)
    assert seeds == [again.marks[0].reply_seed, again.marks[2].reply_seed] and len(set(seeds)) == 2
    assert len(requests(given)) == asked
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert [(row.first.reply, row.reply, row.verdict, row.reference) for row in rows] == [
        ("bad a", "good a", "good", "cloud a"),
        ("good b", "good b", "better", "best"),
    ]
    assert [(row.then.final_score, row.now.final_score) for row in rows if row.then and row.now] == [(0, 1), (1, 1)]
    assert replay(review(tmp_path / "new")) == []


def test_replay_answers_with_the_runs_decoding_and_scores_nothing_without_a_reference(tmp_path: Path) -> None:
    given = services()
    loop = settings(reference="sampled", reference_rate=0.0)
    shop_review = review(tmp_path, given, loop)
    said = (Turn("customer", "hi"), Turn("agent", "yes"))
    shop_review.mark(shop_review.ask(said, "a", silence), "good")
    heard = []
    answer = given.end_model.reply

    def noted(requests):
        heard.extend(requests)
        return answer(requests)

    given.end_model.reply = noted  # type: ignore[method-assign]
    (row,) = replay(review(tmp_path, given, loop))
    assert (row.reference, row.then, row.now, row.verdict) == (None, None, None, "good")
    (request,) = heard
    assert request.decoding == loop.decoding
    assert request.prompts == ((*said, Turn("customer", "a")),)


def test_the_last_better_answer_is_the_reference_and_else_the_clouds_last(tmp_path: Path) -> None:
    shop_review = review(tmp_path)
    answer = shop_review.ask((), "a", silence)
    for better in ("first", "second"):
        shop_review.mark(answer, "better", better)
    shop_review.mark(answer, "bad")
    shop_review.mark(shop_review.ask((), "b", silence), "good")
    assert [row.reference for row in replay(shop_review)] == ["second", "cloud b"]
    # What the shop says now was never marked.
    assert [row.verdict for row in replay(shop_review)] == [None, "good"]


def test_agreement_of_marks_and_scores() -> None:
    def mark(number: int, verdict: str, score: float | None):
        return replace(template, reply=f"r{number}", mark=verdict, final_score=score)

    folder_review_mark = {
        "time": "", "shop_id": "s", "pair_id": "p", "context": (), "query": "q", "reply": "", "mark": "good",
        "better": None, "label": None, "cloud_reply": None, "cloud_model": None, "similarity": None, "relevance": 0.5,
        "cloud_relevance": None, "final_score": None, "relevance_trusted": None, "accepted": None, "reply_seed": 0,
        "adapter_sha256": None, "model": "m", "model_sha256": "h",
    }  # fmt: skip
    from ecc_fed.evolution.review.marks import Mark

    template = Mark(**folder_review_mark)  # type: ignore[arg-type]
    scored = [("good", 0.9), ("good", 0.7), ("bad", 0.65), ("better", 0.1), ("good", 0.3), ("bad", 0.2)]
    marks = [mark(i, verdict, score) for i, (verdict, score) in enumerate(scored)]
    marks += [mark(9, "good", None), mark(0, "bad", 0.9), mark(0, "good", 0.9)]
    found = agreement(marks, 0.6, seed=0)
    # Scores at or above 0.6: r0, r1, r2; good: r0, r1, r4. p_o = 4/6, p_e = 1/2, kappa = 1/3.
    assert found.kappa is not None and found.kappa.mean == pytest.approx(1 / 3)
    # Of the 9 pairs of a good and a bad score, good wins all but 0.3 against 0.65.
    assert found.auc is not None and found.auc.mean == pytest.approx(8 / 9)
    assert (found.scored, found.marked, found.good) == (6, 7, 4)
    assert agreement([], 0.6, seed=0).kappa is None


def test_a_lesson_is_masked_and_the_chat_remembers_what_was_said(tmp_path: Path) -> None:
    given = replace(services(), training_redactor=PatternRedaction())
    chat = review(tmp_path, given, settings(reference="always"))
    chat.mark(chat.ask((), "电话13800001111打不通", lambda piece: None), "better", "换成13900002222了")
    assert isinstance(given.end_model, CountingModel)
    label = Example((Turn("customer", "电话[电话x]打不通"),), "换成[电话x]了")
    examples = given.end_model.jobs[-1].examples
    assert label in examples and not any("138" in text(example) or "139" in text(example) for example in examples)
    kept = load_state(chat.folder, 1).pseudo_labels[-1]
    assert (kept.prompt[-1].text, kept.reply) == ("电话13800001111打不通", "换成13900002222了")


def text(example: Example) -> str:
    return "\n".join([*(turn.text for turn in example.prompt), example.reply])
