"""One cycle: who goes to the cloud, what becomes a label, and which stream every draw comes from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.records import (
    Array,
    Example,
    Feedback,
    FineTuneSettings,
    Judgement,
    OrderRecord,
    Pair,
    TeacherReply,
    Turn,
)
from ecc_fed.core.rows import Signals
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.core.truth import Truth
from ecc_fed.evolution.experience import Experience, draw_examples
from ecc_fed.evolution.loop import ask_cloud, judge_replies, learn, serve, wants_reference
from ecc_fed.evolution.routing.router import Outcome
from ecc_fed.evolution.settings import Services
from tests.evolution.fakes import NAMES, CountingModel, EchoGateway, about, courier, pair, services, settings

PAIRS = tuple(pair("a", f"p{i}") for i in range(4))
HAPPY, SAD = Feedback(True), Feedback(False)


class Scripted:
    """A judge that looks relevance and final score up by reply."""

    def __init__(self, scores: dict[str, float], accept_score: float = 0.5) -> None:
        self.scores, self.accept_score = scores, accept_score
        self.judged: list[tuple[str, str, str]] = []

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        self.judged += zip(queries, replies, cloud_replies, strict=True)
        scores = [self.scores[reply] for reply in replies]
        return [Judgement(score, score, 1.0, score, True, score >= self.accept_score) for score in scores]

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        assert len(queries) == len(replies)
        return np.array([self.scores[reply] for reply in replies], np.float32)


def wanted(
    scores: Sequence[float] = (0.9, 0.1, 0.9, 0.1), chances: Sequence[float | None] = (None,) * 4, **loop: object
) -> list[bool]:
    replies = [f"r{i}" for i in range(len(scores))]
    given = replace(services(), judge=Scripted(dict(zip(replies, scores, strict=True))))
    return wants_reference(PAIRS, replies, chances, settings(**loop).evolution, given, np.random.default_rng(0))


def test_with_always_everybody_is_asked_about() -> None:
    assert wanted(reference="always") == [True] * 4


def test_gated_asks_about_the_irrelevant() -> None:
    assert wanted(reference="gated", gate_relevance=0.5) == [False, True, False, True]


def test_a_relevance_at_the_gate_is_relevant_enough() -> None:
    gate = 0.5
    below = float(np.nextafter(np.float32(gate), np.float32(0)))
    found = wanted((gate, below, 0.0, 1.0), reference="gated", gate_relevance=gate)
    assert found == [False, True, True, False]


def test_sampled_asks_about_its_share() -> None:
    assert wanted(reference="sampled", reference_rate=0.0) == [False] * 4
    assert wanted(reference="sampled", reference_rate=1.0) == [True] * 4
    many = [pair("a", str(i)) for i in range(2000)]
    loop = settings(reference="sampled", reference_rate=0.2).evolution
    found = wants_reference(many, [""] * 2000, [None] * 2000, loop, services(), np.random.default_rng(1))
    assert sum(found) == pytest.approx(400, abs=60)
    draws = np.random.default_rng(1).random(2000)
    assert found == [bool(draw < 0.2) for draw in draws], "one draw for every pair, in order"


def test_a_draw_at_the_rate_is_not_asked_about() -> None:
    class Halves:
        def random(self, size: int) -> Array:
            return np.full(size, 0.5, np.float32)

    loop = settings(reference="sampled", reference_rate=0.5).evolution
    assert wants_reference(PAIRS, [""] * 4, [None] * 4, loop, services(), Halves()) == [False] * 4  # type: ignore[arg-type]


def test_routed_asks_where_the_chance_is_low_or_unknown_and_explores_a_share() -> None:
    chances = (0.49, 0.5, None, 0.99)
    assert wanted(chances=chances, reference="routed", route_confidence=0.5, explore_rate=0.0) == [
        True,
        False,
        True,
        False,
    ]
    assert wanted(chances=(0.01,) * 4, reference="routed", route_confidence=0.0, explore_rate=0.0) == [False] * 4
    assert wanted(chances=(0.99,) * 4, reference="routed", route_confidence=1.0, explore_rate=0.0) == [True] * 4
    draws = np.random.default_rng(0).random(4)
    found = wanted(chances=(0.9,) * 4, reference="routed", explore_rate=float(np.median(draws)))
    assert found == [bool(draw < np.median(draws)) for draw in draws]


@pytest.mark.parametrize("reference", ["sampled", "gated", "routed"])
def test_an_unhappy_customers_reply_is_always_asked_about(reference: str) -> None:
    loop = settings(reference=reference, reference_rate=0.0, gate_relevance=0.0, route_confidence=0.0, explore_rate=0.0)
    given = scripted([0.9] * 4, (SAD, HAPPY, None, SAD))
    outcomes = [Outcome(1, Signals(0.5, 0.5), i % 2 == 0) for i in range(10)]
    served = serve(PAIRS, ADAPTER, Experience(), {}, loop, given, 2, 0, outcomes)
    assert [answer is not None for answer in served.cloud] == [True, False, False, True]
    assert served.outcomes == (), "whom the customer chose says nothing of the others"


def test_outcomes_are_of_chosen_replies_that_were_judged_good_if_accepted_and_not_complained_of() -> None:
    given = scripted((0.9, 0.9, 0.1, 0.9), (HAPPY, SAD, HAPPY, None))
    served = serve(PAIRS, ADAPTER, Experience(tuple(PAIRS[:2])), {}, settings(reference="routed"), given, 3, 0)
    assert [outcome.good for outcome in served.outcomes] == [True, False, False, True]
    assert {outcome.server_round for outcome in served.outcomes} == {3}
    assert [outcome.signals.margin for outcome in served.outcomes] == [CountingModel.margin(p.query) for p in PAIRS]
    assert [outcome.signals.distance for outcome in served.outcomes][:2] == [0.0, 0.0], "asked before"
    dead = serve(PAIRS, ADAPTER, Experience(), {}, settings(), scripted([0.9] * 4, [SAD] * 4, dead=True), 3, 0)
    assert dead.outcomes == ()
    gated = serve(PAIRS, ADAPTER, Experience(), {}, settings(reference="gated", gate_relevance=1.0), given, 3, 0)
    assert gated.outcomes == (), "a gate chooses by the reply itself"


def test_the_cloud_gets_each_prompt_with_its_few_shots() -> None:
    given = services()
    long = replace(PAIRS[0], context=(Turn("customer", "hi"), Turn("agent", "yes")))
    answers = ask_cloud([long, PAIRS[1]], [PAIRS[2:], PAIRS[:1]], "judge", 7, given)
    assert [answer.text for answer in answers] == ["cloud q p0", "cloud q p1"]
    assert isinstance(given.gateway, EchoGateway)
    first, second = given.gateway.requests
    assert (first.turns, second.turns) == (long.prompt, PAIRS[1].prompt)
    assert {(r.shop_id, r.purpose, r.server_round) for r in (first, second)} == {("a", "judge", 7)}
    assert first.examples == (("q p2", "发圆通"), ("q p3", "发圆通"))
    assert second.examples == (("q p0", "发圆通"),)


def test_the_gateway_is_told_the_order_record_of_each_customer() -> None:
    given = services()
    known = [replace(p, customer=OrderRecord(name=f"name {p.pair_id}")) for p in PAIRS]
    ask_cloud([known[0], PAIRS[1]], [[known[2], PAIRS[3], known[3]], [known[1]]], "judge", 1, given)
    assert isinstance(given.gateway, EchoGateway)
    first, second = given.gateway.requests
    assert (first.customer, second.customer) == (known[0].customer, None)
    assert first.example_customers == (known[2].customer, None, known[3].customer)
    assert second.example_customers == (known[1].customer,)


def test_judgements_stand_where_the_cloud_answered() -> None:
    judge = Scripted({"r1": 0.3, "r3": 0.8})
    given = replace(services(), judge=judge)
    cloud = [None, TeacherReply("c1", "ok", ""), TeacherReply(None, "timeout", ""), TeacherReply("c3", "ok", "")]
    found = judge_replies(PAIRS, ["r0", "r1", "r2", "r3"], cloud, given)
    assert [None if judgement is None else judgement.final_score for judgement in found] == [None, 0.3, None, 0.8]
    assert judge.judged == [("q p1", "r1", "c1"), ("q p3", "r3", "c3")]


class Told:
    """A customer whose verdict is looked up by the query."""

    def __init__(self, verdicts: dict[str, Feedback | None]) -> None:
        self.verdicts = verdicts
        self.seeds: list[int] = []
        self.truths: list[Truth | None] = []

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        self.seeds.append(seed)
        self.truths += truths
        return [self.verdicts[pair.pair_id] for pair in pairs]


class Replying(CountingModel):
    """Answers every query with itself, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list = []

    def reply(self, requests: Sequence) -> list[list[str]]:
        self.requests.extend(requests)
        return [[prompt[-1].text for prompt in request.prompts] for request in requests]


def scripted(scores: Sequence[float], verdicts: Sequence[Feedback | None], dead: bool = False) -> Services:
    judge = Scripted({p.query: score for p, score in zip(PAIRS, scores, strict=True)})
    told = Told({p.pair_id: verdict for p, verdict in zip(PAIRS, verdicts, strict=True)})
    return replace(services(dead), end_model=Replying(), judge=judge, feedback=told)


ADAPTER = {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.zeros((3, 2), np.float32)}


def test_a_low_score_or_an_unhappy_customer_makes_a_label_and_nothing_else_does() -> None:
    given = scripted((0.9, 0.9, 0.1, 0.1), (HAPPY, SAD, None, SAD))
    served = serve(PAIRS, ADAPTER, Experience(), {}, settings(), given, 3, seed=5)
    assert served.replies == tuple(p.query for p in PAIRS)
    assert served.feedback == (HAPPY, SAD, None, SAD)
    assert served.escalated == 3
    assert [(label.pair_id, label.reason) for label in served.pseudo_labels] == [
        ("a/p1", "unhappy_customer"),
        ("a/p2", "low_score"),
        ("a/p3", "low_score"),
    ]
    label = served.pseudo_labels[0]
    assert (label.prompt, label.reply) == (PAIRS[1].prompt, "cloud q p1")
    assert (label.model_version, label.server_round) == ("echo-1", 3)
    assert [judgement.accepted for judgement in served.judgements if judgement] == [True, True, False, False]
    assert served.seconds >= 0


def test_played_customers_are_told_what_is_true_of_their_own_pair() -> None:
    given = scripted([0.9] * 4, [None] * 4)
    truth = {"a/p0": about(courier()), "a/p2": about(courier("申通")), "a/p9": about()}
    serve(PAIRS, ADAPTER, Experience(), truth, settings(), given, 1, 0)
    assert isinstance(given.feedback, Told)
    assert given.feedback.truths == [truth["a/p0"], None, truth["a/p2"], None]


def test_a_score_at_the_accept_score_is_no_label() -> None:
    served = serve(PAIRS, ADAPTER, Experience(), {}, settings(), scripted((0.5, 0.5, 0.4, 0.6), [None] * 4), 1, 0)
    assert [label.pair_id for label in served.pseudo_labels] == ["a/p2"]


def test_only_those_asked_about_go_to_the_cloud_each_with_its_own_answer() -> None:
    given = scripted((0.9, 0.1, 0.9, 0.1), (HAPPY, HAPPY, SAD, None))
    served = serve(
        PAIRS, ADAPTER, Experience(tuple(PAIRS[:1])), {}, settings(reference="gated", gate_relevance=0.5), given, 1, 0
    )
    assert [None if answer is None else answer.text for answer in served.cloud] == [
        None,
        "cloud q p1",
        "cloud q p2",
        "cloud q p3",
    ]
    assert isinstance(given.gateway, EchoGateway)
    assert [request.purpose for request in given.gateway.requests] == ["judge"] * 3
    assert given.gateway.requests[0].examples == (("q p0", "发圆通"),)
    assert [label.reply for label in served.pseudo_labels] == ["cloud q p1", "cloud q p2", "cloud q p3"]


def test_an_unhappy_customer_whom_the_cloud_fails_is_escalated_without_a_label() -> None:
    served = serve(
        PAIRS, ADAPTER, Experience(), {}, settings(), scripted([0.9] * 4, (SAD, HAPPY, None, SAD), dead=True), 1, 0
    )
    assert (served.escalated, served.pseudo_labels, served.judgements) == (2, (), (None,) * 4)


def test_an_empty_part_asks_nobody() -> None:
    given = scripted([0.0] * 4, [SAD] * 4)
    served = serve((), ADAPTER, Experience(tuple(PAIRS)), {}, settings(), given, 1, 0)
    assert served == type(served)((), (), (), (), (), (), 0, 0.0)
    assert isinstance(given.gateway, EchoGateway) and given.gateway.requests == []


def test_every_draw_of_a_cycle_has_its_stream() -> None:
    # Frozen: another name here is another draw, and every published figure moves.
    given = scripted([0.1] * 4, [None] * 4)
    loop = settings(reference="sampled", reference_rate=0.5)
    served = serve(PAIRS, ADAPTER, Experience(), {}, loop, given, 1, seed=11)
    assert isinstance(given.end_model, Replying) and isinstance(given.feedback, Told)
    (request,) = given.end_model.requests
    assert (request.seed, given.feedback.seeds) == (derive_seed(11, "reply"), [derive_seed(11, "feedback")])
    assert (request.adapter, request.decoding) == (ADAPTER, loop.decoding)
    assert request.prompts == tuple(p.prompt for p in PAIRS)
    draws = derive_rng(11, "reference").random(4)
    assert [answer is not None for answer in served.cloud] == [bool(draw < 0.5) for draw in draws]

    experience = Experience(PAIRS[:3], served.pseudo_labels)
    tuned = settings(fine_tune=FineTuneSettings(steps=3, batch_size=2), pseudo_share=0.4)
    learned = learn(experience, ADAPTER, {"step": np.array(5, np.float32)}, tuned, given, seed=13)
    (job,) = given.end_model.jobs
    assert job.seed == derive_seed(13, "fine_tune")
    drawn = draw_examples(experience, 6, 0.4, derive_rng(13, "examples"))
    assert job.examples == tuple(Example(each.prompt, each.reply) for each in drawn)
    assert (job.settings, job.adapter) == (tuned.fine_tune, ADAPTER)
    assert (learned.num_examples, learned.losses, float(learned.adapter[NAMES[1]][0, 0])) == (6, (1.0,) * 3, 3.0)
    assert learned.optimizer is not None and float(learned.optimizer["step"]) == 8
    assert learned.seconds >= 0


def test_without_experience_nothing_is_learned() -> None:
    given = services()
    optimizer = {"step": np.array(5, np.float32)}
    learned = learn(Experience(), ADAPTER, optimizer, settings(), given, 0)
    assert (learned.adapter, learned.optimizer, learned.losses, learned.num_examples) == (ADAPTER, optimizer, (), 0)
    assert isinstance(given.end_model, CountingModel) and given.end_model.jobs == []


def test_the_learning_rate_decays_over_all_cycles_of_all_rounds() -> None:
    given = services()
    loop = settings(server_rounds=2, cycles=3, fine_tune=FineTuneSettings(steps=5, linear_decay=True))
    learn(Experience(PAIRS), ADAPTER, None, loop, given, 0)
    assert isinstance(given.end_model, CountingModel)
    (job,) = given.end_model.jobs
    assert (job.settings, job.decay_steps) == (loop.fine_tune, 30)
