from dataclasses import replace

from ecc_fed.evolution.evaluation import evaluate_pairs, values_of_shops
from tests.evolution.fakes import courier, pair, services, settings


class Fixed:
    """Answers every prompt with one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getattr__(self, name: str) -> object:
        return getattr(services().end_model, name)

    def reply(self, requests: list) -> list[list[str]]:  # type: ignore[type-arg]
        return [[self.text for _ in request.prompts] for request in requests]


def _row(reply: str, taught: str = "圆通") -> dict:  # type: ignore[type-arg]
    given = replace(services(), end_model=Fixed(reply))
    training = [pair("a", "n", reply="亲 发圆通", facts=(courier(taught),))]
    values = values_of_shops(
        {"a": [pair("a", "x", facts=(courier("圆通"),))], "b": [pair("b", "y", facts=(courier("申通"),))]}
    )
    test = [pair("a", "t", facts=(courier("圆通"),))]
    return evaluate_pairs(test, None, "final", 1, training, values, settings(), given, 0)[0]


def test_a_right_answer() -> None:
    fact = _row("我们发圆通哦")["facts"][0]
    assert (fact["stated"], fact["seen"], fact["competing_stated"], fact["other_shop"]) == (True, True, [], [])


def test_another_shops_value_is_named_and_a_stray_value_is_not() -> None:
    assert _row("我们发申通")["facts"][0]["other_shop"] == ["b"]
    stray = _row("我们发韵达")["facts"][0]
    assert (stray["other_shop"], stray["competing_stated"], stray["stated"]) == ([], ["韵达"], False)


def test_naming_every_courier_is_wrong() -> None:
    assert _row("圆通申通都发")["facts"][0]["stated"] is False


def test_a_value_that_was_never_taught_is_unseen() -> None:
    assert _row("发圆通", taught="韵达")["facts"][0]["seen"] is False


def test_verbatim_and_chrf() -> None:
    assert _row("亲 发圆通")["verbatim"] is True
    row = _row("发圆通")
    assert row["verbatim"] is False
    assert row["chrf"] == 100.0


def test_extra_queries_are_asked_and_judged_apart_from_the_test_pairs() -> None:
    test = [pair("s", "t0", facts=(courier(),))]
    given = services()
    asked = replace(settings(), extra_queries=("你好", "520401029636"))
    rows = evaluate_pairs(test, None, "final", 1, [], values_of_shops({"s": test}), asked, given, 0)
    assert [(row["pair_id"], row["extra"]) for row in rows] == [("s/t0", False), ("extra/1", True), ("extra/2", True)]
    assert [row["query"] for row in rows[1:]] == ["你好", "520401029636"]
    assert all(row["final_score"] is not None and row["shop_id"] == test[0].shop_id for row in rows)
    # Nobody knows the right answer: no facts, and nothing that needs a human reply.
    assert all(
        (row["facts"], row["chrf"], row["nll_nats"], row["characters"]) == ([], None, None, None) for row in rows[1:]
    )
    alone = evaluate_pairs(test, None, "final", 1, [], values_of_shops({"s": test}), settings(), given, 0)
    assert alone == rows[:1]
