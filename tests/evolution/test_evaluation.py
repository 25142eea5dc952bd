from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecc_fed.core.records import Likelihood, LikelihoodRequest, Pair, ReplyRequest, Turn
from ecc_fed.core.rows import CloudCalls, SampleRow, Signals
from ecc_fed.core.rows.sample import FactRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Truth
from ecc_fed.evolution.evaluation import Evaluated, evaluate_pairs, extra_pairs
from ecc_fed.evolution.nearest import NearestTexts
from tests.evolution.fakes import NAMES, CountingModel, EchoGateway, about, courier, pair, services, settings


class Fixed(CountingModel):
    """Answers every prompt with one text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def reply(self, requests: list) -> list[list[str]]:  # type: ignore[type-arg]
        return [[self.text for _ in request.prompts] for request in requests]


def _row(reply: str, taught: str = "圆通") -> SampleRow:
    given = replace(services(), end_model=Fixed(reply))
    training, test = [pair("a", "n", reply="亲 发圆通")], [pair("a", "t")]
    truth = {"a/n": about(courier(taught)), "a/t": about(courier("圆通"))}
    return evaluate_pairs(test, None, "final", 1, training, truth, settings(), given, 0).rows[0]


def test_a_right_answer() -> None:
    fact = _row("我们发圆通哦").facts[0]
    assert (fact.stated, fact.seen, fact.competing_stated) == (True, True, ())


def test_a_shop_tells_what_is_wrong_and_not_whose_value_it_is() -> None:
    (fact,) = _row("我们发申通").facts
    assert (fact.stated, fact.competing_stated) == (False, ("申通",))
    assert fact.other_shop == ()


def test_what_nobody_knows_is_not_measured() -> None:
    given = replace(services(), end_model=Fixed("发圆通"))
    row, *_ = evaluate_pairs([pair("a", "t")], None, "final", 1, [pair("a", "n")], {}, settings(), given, 0).rows
    assert (row.facts, row.intent, row.form_id, row.chrf) == ((), None, None, 100.0)


def test_naming_every_courier_is_wrong() -> None:
    assert _row("圆通申通都发").facts[0].stated is False


def test_a_value_that_was_never_taught_is_unseen() -> None:
    assert _row("发圆通", taught="韵达").facts[0].seen is False


def test_verbatim_and_chrf() -> None:
    assert _row("亲 发圆通").verbatim is True
    row = _row("发圆通")
    assert row.verbatim is False
    assert row.chrf == 100.0


class Measuring(CountingModel):
    """Likelihoods that tell the adapter and the prompt they were asked about; keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[ReplyRequest] = []

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        self.requests.extend(requests)
        return super().reply(requests)

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        return [
            [
                Likelihood(float(request.adapter is not None), len(example.prompt), len(example.reply))
                for example in request.examples
            ]
            for request in requests
        ]


def test_a_row_tells_all_of_one_query() -> None:
    model = Measuring()
    given = replace(services(), end_model=model)
    said = (Turn("customer", "hi"), Turn("agent", "yes"))
    test = [replace(pair("a", "t"), context=said), pair("a", "u", reply="发申通")]
    truth = {
        "a/t": Truth("courier", "ask/1", (courier("圆通"), courier("申通"))),
        "a/n": about(courier("圆通")),
    }
    adapter = {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.full((3, 2), 9, np.float32)}
    loop = settings(teacher_examples=2)
    rows = evaluate_pairs(test, adapter, "final", 3, [pair("a", "m"), pair("a", "n")], truth, loop, given, 5).rows
    fact = FactRow("courier", "courier", "shop", ("圆通",), True, False, (), (), 1, None)
    distance = round(1 - float(NearestTexts(["q m", "q n"]).similarities("q t").max()), 4)
    assert rows[0] == SampleRow(
        shop_id="a",
        pair_id="a/t",
        session_id=test[0].session_id,
        phase="final",
        extra=False,
        server_round=3,
        context=said,
        query="q t",
        reference="发圆通",
        reply="good q t",
        cloud_reply="cloud q t",
        intent="courier",
        form_id="ask/1",
        similarity=1.0,
        relevance=1.0,
        cloud_relevance=1.0,
        final_score=1.0,
        relevance_trusted=True,
        accepted=True,
        facts=(fact, replace(fact, accepted=("申通",), seen=False, taught=0)),
        chrf=0.0,
        verbatim=False,
        nll_nats=1.0,
        label_tokens=3,
        characters=3,
        signals=Signals(CountingModel.margin(rows[0].reply), distance),
        confidence=None,
    )
    assert (rows[1].pair_id, rows[1].reference, rows[1].label_tokens) == ("a/u", "发申通", 1)
    (request,) = model.requests
    assert request == ReplyRequest(adapter, tuple(p.prompt for p in test), loop.decoding, derive_seed(5, "reply"))
    assert isinstance(given.gateway, EchoGateway)
    assert {(r.purpose, r.server_round, r.examples) for r in given.gateway.requests} == {
        ("evaluate", 3, (("q m", "发圆通"), ("q n", "发圆通")))
    }


def test_without_the_clouds_reply_there_is_no_judgement() -> None:
    (row,) = evaluate_pairs([pair("a", "t")], None, "base", 0, [], {}, settings(), services(dead_teacher=True), 0).rows
    judged = (row.similarity, row.relevance, row.cloud_relevance, row.final_score, row.relevance_trusted, row.accepted)
    assert judged == (None,) * 6
    assert (row.cloud_reply, row.reply, row.nll_nats, row.phase) == (None, "bad q t", 2.0, "base")


def test_no_pairs_give_no_rows_and_ask_nobody() -> None:
    given = services()
    assert evaluate_pairs([], None, "base", 0, [], {}, settings(extra_queries=("x",)), given, 0) == Evaluated(
        (), CloudCalls()
    )
    assert isinstance(given.gateway, EchoGateway) and given.gateway.requests == []


def test_extra_queries_stand_alone() -> None:
    first, second = extra_pairs("a", ("x", "y"))
    assert first == Pair("extra/1", "extra/1", "a", (), "x", "")
    assert (second.pair_id, second.query) == ("extra/2", "y")


def test_extra_queries_are_asked_and_judged_apart_from_the_test_pairs() -> None:
    test, truth = [pair("s", "t0")], {"s/t0": about(courier())}
    given = services()
    asked = settings(extra_queries=("你好", "520401029636"))
    rows = evaluate_pairs(test, None, "final", 1, [], truth, asked, given, 0).rows
    assert {row.phase for row in rows[3:]} == {"teacher", "human"} and not any(row.extra for row in rows[3:])
    rows = rows[:3]
    assert [(row.pair_id, row.extra) for row in rows] == [("s/t0", False), ("extra/1", True), ("extra/2", True)]
    assert [row.query for row in rows[1:]] == ["你好", "520401029636"]
    assert all(row.final_score is not None and row.shop_id == test[0].shop_id for row in rows)
    # Nobody knows the right answer: no facts, and nothing that needs a human reply.
    assert all((row.facts, row.chrf, row.nll_nats, row.characters) == ((), None, None, None) for row in rows[1:])
    alone = evaluate_pairs(test, None, "final", 1, [], truth, settings(), given, 0).rows
    assert alone[:1] == rows[:1]
