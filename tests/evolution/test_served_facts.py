"""Counts of a cycle's facts by hand."""

from ecc_fed.core.records import Pair
from ecc_fed.core.rows import ServedFacts
from ecc_fed.core.truth import Fact, Truth
from ecc_fed.evolution.served_facts import served_facts


def pair(name):
    return Pair(name, name, "s", (), "发什么快递", "")


def fact(value, since=None):
    return Fact("courier", "courier", "shop", (value,), ("圆通",), since)


def test_replies_that_state_all_their_facts_and_nothing_else():
    truth = {
        "right": Truth(facts=(fact("顺丰"),)),
        "competing": Truth(facts=(fact("顺丰"),)),
        "half": Truth(facts=(fact("顺丰"), fact("中通", 3.0))),
        "changed": Truth(facts=(fact("中通", 3.0),)),
        "will change": Truth(facts=(fact("顺丰", 0.0),)),
        "thanks": Truth(intent="thanks"),
    }
    replies = {"right": "发顺丰", "competing": "发顺丰或圆通", "half": "发顺丰", "changed": "发中通",
               "will change": "发顺丰", "thanks": "好", "unknown": "发顺丰"}  # fmt: skip
    found = served_facts([pair(name) for name in replies], list(replies.values()), truth)
    assert found == ServedFacts(asked=5, right=3, changed=2, changed_right=1)


def test_where_nothing_is_known_nothing_is_counted():
    assert served_facts([pair("a")], ["发顺丰"], {}) is None
    assert served_facts([pair("a")], ["好"], {"a": Truth(intent="thanks")}) is None
    assert served_facts([], [], {"a": Truth(facts=(fact("顺丰"),))}) is None
