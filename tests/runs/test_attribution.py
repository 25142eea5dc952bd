"""Whose value a wrong answer states: told from all shops' truth, after the run."""

from dataclasses import replace

from ecc_fed.core.rows import FactRow, SampleRow
from ecc_fed.core.truth import Fact, Truth
from ecc_fed.runs.attribution import attributed, values_of_shops

COURIERS = ("圆通", "申通", "韵达", "顺丰", "顺丰速运")


def courier(*accepted: str) -> Fact:
    return Fact("courier", "courier", "shop", accepted, tuple(name for name in COURIERS if name not in accepted))


def truth_of(**facts: Fact) -> dict[str, dict[str, Truth]]:
    return {shop_id: {f"{shop_id}/0": Truth(facts=(fact,))} for shop_id, fact in facts.items()}


THREE = truth_of(a=courier("圆通"), b=courier("申通"), c=courier("申通"))


def row(reply: str, accepted: tuple[str, ...] = ("圆通",), stated: bool = False, shop_id: str = "a") -> SampleRow:
    return SampleRow(
        shop_id=shop_id, pair_id="0", session_id="d", phase="final", extra=False, server_round=1, context=(),
        query="发什么", reference="", reply=reply, cloud_reply=None, intent=None, form_id=None, similarity=None,
        relevance=None, cloud_relevance=None, final_score=0.25, relevance_trusted=None, accepted=None,
        facts=(FactRow("courier", "courier", "shop", accepted, True, stated, (), (), 1, None),), chrf=None,
        verbatim=False, nll_nats=None, label_tokens=None, characters=None, signals=None, confidence=None,
    )  # fmt: skip


def others(given: SampleRow, truth: dict[str, dict[str, Truth]] = THREE) -> list[str]:
    return list(attributed(given, values_of_shops(truth)).facts[0].other_shop)


def test_another_shops_value_is_named_and_a_stray_value_is_not() -> None:
    assert others(row("我们发申通")) == ["b", "c"]
    assert others(row("我们发韵达")) == []
    assert others(row("看情况")) == []


def test_a_right_answer_states_nobodys_value() -> None:
    assert others(row("我们发圆通，不发申通", stated=True)) == []


def test_a_shops_own_value_is_no_other_shops() -> None:
    """A value that held in the shop itself before it drifted, and holds in another shop too."""
    truth = THREE | {"a": {"a/0": Truth(facts=(courier("申通"),)), "a/1": Truth(facts=(courier("圆通"),))}}
    assert others(row("我们发申通"), truth) == ["b", "c"]
    assert others(row("我们发申通"), {"a": truth["a"]}) == []


def test_an_accepted_form_is_nobodys_value_even_where_another_shop_has_it() -> None:
    truth = truth_of(a=courier("圆通", "韵达"), b=courier("韵达"))
    assert others(row("圆通申通韵达都发", ("圆通", "韵达")), truth) == []


def test_a_value_inside_a_longer_number_is_nobodys() -> None:
    truth = truth_of(a=courier("9"), b=courier("5"))
    assert others(row("一共12.5元", ("9",)), truth) == []
    assert others(row("一共5元", ("9",)), truth) == ["b"]


def test_platform_rules_belong_to_no_shop() -> None:
    rule = Fact("platform/courier", "courier", "platform", ("申通",), ("圆通",))
    assert others(row("我们发申通"), truth_of(b=rule)) == []


def test_values_of_other_kinds_do_not_count() -> None:
    gift = Fact("gift", "gift", "shop", ("申通",), ())
    assert others(row("送申通"), truth_of(b=gift)) == []


def test_rows_stay_as_they_were_but_for_whose_value_it_is() -> None:
    given = row("我们发申通")
    told = attributed(given, values_of_shops(THREE))
    assert told != given
    assert replace(told, facts=(replace(told.facts[0], other_shop=()),)) == given


def test_pairs_without_facts_and_shops_without_truth_pass() -> None:
    given = replace(row("好"), facts=())
    assert attributed(given, values_of_shops({"a": {}})) == given
