"""Forms expand, fill and slip as they should."""

from random import Random

from ecc_fed.corpus.simulator.surface import choose, expand, fill, misspell, slots_of, split_literals


def test_expand_lists_every_choice() -> None:
    assert expand("[你|您]好[|啊]{x}") == ["你好{x}", "你好啊{x}", "您好{x}", "您好啊{x}"]
    assert expand("no choice") == ["no choice"]


def test_choose_draws_only_expansions() -> None:
    rng = Random(0)
    assert {choose("[a|b]{x}[c|]", rng) for _ in range(50)} == set(expand("[a|b]{x}[c|]"))


def test_slots_and_fill() -> None:
    assert slots_of("{a}说{b1}") == {"a", "b1"}
    assert fill("{a}说{b}", {"a": "{b}", "b": "好"}) == "{b}说好", "values are never filled again"
    assert split_literals("在{a}说{b}") == ["在", "说"]


def test_misspell_changes_wording_and_never_slots() -> None:
    rng = Random(0)
    for _ in range(200):
        text = misspell("{product}什么时候补货", {"什么": ["神马"]}, rng)
        assert text.startswith("{product}")
        assert "{product}" not in misspell("什么时候", {}, rng)
    assert misspell("{product}吗", {"吗": ["嘛"]}, rng) == "{product}吗", "too short to slip"
