from dataclasses import replace

from ecc_fed.core.rows import SampleRow
from ecc_fed.evolution.evaluation import evaluate_pairs
from tests.evolution.fakes import about, courier, pair, services, settings


class Fixed:
    """Answers every prompt with one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getattr__(self, name: str) -> object:
        return getattr(services().end_model, name)

    def reply(self, requests: list) -> list[list[str]]:  # type: ignore[type-arg]
        return [[self.text for _ in request.prompts] for request in requests]


def _row(reply: str, taught: str = "圆通") -> SampleRow:
    given = replace(services(), end_model=Fixed(reply))
    training, test = [pair("a", "n", reply="亲 发圆通")], [pair("a", "t")]
    truth = {"a/n": about(courier(taught)), "a/t": about(courier("圆通"))}
    return evaluate_pairs(test, None, "final", 1, training, truth, settings(), given, 0)[0]


def test_a_right_answer() -> None:
    fact = _row("我们发圆通哦").facts[0]
    assert (fact.stated, fact.seen, fact.competing_stated) == (True, True, ())


def test_a_shop_tells_what_is_wrong_and_not_whose_value_it_is() -> None:
    (fact,) = _row("我们发申通").facts
    assert (fact.stated, fact.competing_stated) == (False, ("申通",))
    assert fact.other_shop == ()


def test_what_nobody_knows_is_not_measured() -> None:
    given = replace(services(), end_model=Fixed("发圆通"))
    (row,) = evaluate_pairs([pair("a", "t")], None, "final", 1, [pair("a", "n")], {}, settings(), given, 0)
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


def test_extra_queries_are_asked_and_judged_apart_from_the_test_pairs() -> None:
    test, truth = [pair("s", "t0")], {"s/t0": about(courier())}
    given = services()
    asked = settings(extra_queries=("你好", "520401029636"))
    rows = evaluate_pairs(test, None, "final", 1, [], truth, asked, given, 0)
    assert [(row.pair_id, row.extra) for row in rows] == [("s/t0", False), ("extra/1", True), ("extra/2", True)]
    assert [row.query for row in rows[1:]] == ["你好", "520401029636"]
    assert all(row.final_score is not None and row.shop_id == test[0].shop_id for row in rows)
    # Nobody knows the right answer: no facts, and nothing that needs a human reply.
    assert all((row.facts, row.chrf, row.nll_nats, row.characters) == ((), None, None, None) for row in rows[1:])
    alone = evaluate_pairs(test, None, "final", 1, [], truth, settings(), given, 0)
    assert alone == rows[:1]
