"""Whose value a wrong answer states: told after the run, because no shop knows what is true of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecc_fed.core.facts import find_form
from ecc_fed.core.rows import FactRow, SampleRow
from ecc_fed.core.truth import ShopTruth

# kind of fact -> surface form -> shops for which it is true
ValuesOfShops = Mapping[str, Mapping[str, frozenset[str]]]


def values_of_shops(truth: Mapping[str, ShopTruth]) -> ValuesOfShops:
    """Which shops a surface form is true for, by kind; `truth` is every shop's, by shop_id."""
    shops: dict[str, dict[str, set[str]]] = {}
    for shop_id, pairs in truth.items():
        for about in pairs.values():
            for fact in about.facts:
                if fact.scope == "shop":
                    for form in fact.accepted:
                        shops.setdefault(fact.kind, {}).setdefault(form, set()).add(shop_id)
    return {kind: {form: frozenset(ids) for form, ids in forms.items()} for kind, forms in shops.items()}


def other_shops(fact: FactRow, reply: str, shop_id: str, values: ValuesOfShops) -> tuple[str, ...]:
    """The shops, `shop_id` apart, for which a value of the fact's kind is true that a wrong `reply` states."""
    others: set[str] = set()
    if not fact.stated:
        for form, shops in values.get(fact.kind, {}).items():
            if form not in fact.accepted and find_form(reply, form):
                others |= shops - {shop_id}
    return tuple(sorted(others))


def attributed(row: SampleRow, values: ValuesOfShops) -> SampleRow:
    """The row, its facts telling, as `other_shop`, whose value the reply states instead."""
    facts = (replace(fact, other_shop=other_shops(fact, row.reply, row.shop_id, values)) for fact in row.facts)
    return replace(row, facts=tuple(facts))
