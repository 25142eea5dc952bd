"""A shop's profile: what it may learn from, and how unlike the others' that is."""

from dataclasses import replace

import pytest

from ecc_fed.core.records import Pair, Shop
from ecc_fed.runs.shop_profiles import shop_profiles


def shop(name, texts, stream=()):
    def pairs(replies, kind):
        return tuple(
            Pair(f"{name}/{kind}{n}", f"{name}/{kind}{n}", name, (), "问", text, float(n))
            for n, text in enumerate(replies)
        )

    return Shop(name, pairs(texts, "h"), pairs(stream, "s"), pairs(["不在训练里"] * 50, "t"))


def test_pairs_and_unlikeness_of_what_is_learned_from():
    same, other = "亲包邮的哦" * 30, "先生不包邮呢" * 30
    found = shop_profiles([shop("a", [same] * 4), shop("b", [same] * 4), shop("c", [other] * 4)], 1.0, 0)
    assert [of.training_pairs for of in found.values()] == [4, 4, 4]
    assert found["c"].unlikeness > found["a"].unlikeness > 0
    assert found["a"].unlikeness == pytest.approx(found["b"].unlikeness, abs=0.02)
    # Two alphabets share no bigram.
    apart = shop_profiles([shop("a", ["甲乙" * 200]), shop("b", ["丙丁" * 200])], 1.0, 0)
    assert [of.unlikeness for of in apart.values()] == [pytest.approx(1)] * 2


def test_test_dialogues_tell_nothing_and_of_the_stream_only_what_humans_answer():
    shops = [shop("a", ["一二三四" * 60], ["五六七八" * 60] * 10), shop("b", ["一二三四" * 60])]
    none, all_of_it = (shop_profiles(shops, share, 0) for share in (0.0, 1.0))
    assert (none["a"].training_pairs, all_of_it["a"].training_pairs) == (1, 11)
    assert none["a"].unlikeness == pytest.approx(0, abs=0.02)
    assert all_of_it["a"].unlikeness > 0.3
    moved = [replace(of, test=()) for of in shops]
    assert shop_profiles(moved, 1.0, 0) == all_of_it


def test_a_bigram_stays_within_a_text_and_a_shop_without_text_has_no_figure():
    single = shop("a", ["字"] * 300)  # one character has no neighbour
    assert [of.unlikeness for of in shop_profiles([single, shop("b", ["文字" * 300])], 1.0, 0).values()] == [None, None]
    assert shop_profiles([], 1.0, 0) == {}
