"""The agreed reply is the one most like all others, whoever says them in whatever order."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AgreedReply
from ecc_fed.federation.aggregation.weights import Uniform
from ecc_fed.federation.agreement.medoid import Medoid, medoid

REPLIES = st.lists(
    st.tuples(st.sampled_from(["", " ", "发圆通", "发圆通呀", "亲,发圆通", "48.8元", "没货", "b"]), st.integers(0, 3)),
    max_size=6,
)


def said(shop_id: str, *replies: str, num_examples: int = 1) -> AdapterUpdate:
    return AdapterUpdate(shop_id, 1, {}, num_examples, replies=replies)


def by_hand(replies: list[tuple[str, int]]) -> tuple[str, float] | None:
    """Reply by reply, shop by shop, without counting equal ones together."""
    chrf = CHRF(beta=1)
    voices = [(text, weight) for text, weight in replies if text.strip() and weight]
    if not voices:
        return None
    total = sum(weight for _, weight in voices)
    gains = {
        text: sum(weight * chrf.sentence_score(text, [other]).score for other, weight in voices) / total
        for text, _ in voices
    }
    best = max(gains.values())
    return min(text for text, gain in gains.items() if gain > best - 1e-9), best


@given(REPLIES)
def test_it_is_what_brute_force_finds(replies: list[tuple[str, int]]) -> None:
    found, expected = medoid("q", [text for text, _ in replies], [weight for _, weight in replies]), by_hand(replies)
    if expected is None:
        assert found == AgreedReply("q")
        return
    assert found.reply == expected[0]
    assert found.similarity == pytest.approx(expected[1])
    assert found.voices == sum(bool(text.strip() and weight) for text, weight in replies)


@given(REPLIES.filter(lambda replies: len(replies) <= 4))
def test_no_order_of_the_shops_moves_a_bit(replies: list[tuple[str, int]]) -> None:
    weighed = [(text, weight / 7) for text, weight in replies]
    found = {medoid("q", *zip(*each, strict=True)) for each in itertools.permutations(weighed) if each}
    assert len(found) <= 1


def test_weights_that_add_up_otherwise_in_another_order_do_not_either() -> None:
    assert sum([0.1, 0.2, 0.3]) != sum([0.3, 0.2, 0.1])
    voices = [("发圆通", 0.1), ("发圆通", 0.2), ("发圆通", 0.3), ("48.8元", 0.6)]
    found = {medoid("q", *zip(*each, strict=True)) for each in itertools.permutations(voices)}
    assert {each.reply for each in found} == {"48.8元"} and len(found) == 1


def test_two_of_a_kind_win_over_one_and_weight_over_both() -> None:
    shops = [said("a", "发圆通"), said("b", "发圆通"), said("c", "48.8元")]
    agreed = Medoid().agree(["q"], shops)
    assert agreed == (AgreedReply("q", "发圆通", agreed[0].similarity, 3),)
    assert agreed[0].similarity == pytest.approx(200 / 3)
    heavy = [*shops[:2], replace(shops[2], num_examples=3)]
    assert Medoid().agree(["q"], heavy)[0].reply == "48.8元"
    assert Medoid(Uniform()).agree(["q"], heavy)[0].reply == "发圆通"


def test_one_shop_agrees_with_itself_and_queries_keep_their_places() -> None:
    agreed = Medoid().agree(["q1", "q2", "q3"], [said("a", "one", "", "three", num_examples=5)])
    assert agreed == (AgreedReply("q1", "one", 100.0, 1), AgreedReply("q2"), AgreedReply("q3", "three", 100.0, 1))
    mixed = Medoid().agree(["q1", "q2"], [said("a", "x", ""), said("b", "", "y")])
    assert [each.reply for each in mixed] == ["x", "y"]


def test_shops_that_are_too_unlike_do_not_agree() -> None:
    shops = [said("a", "发圆通", "发圆通", ""), said("b", "发圆通", "没货", "")]
    found = {bound: Medoid(min_similarity=bound).agree(["q1", "q2", "q3"], shops) for bound in (0, 50, 50.1, 100)}
    assert [each.reply for each in found[0]] == [each.reply for each in found[50]] == ["发圆通", "发圆通", ""]
    assert [each.reply for each in found[50.1]] == [each.reply for each in found[100]] == ["发圆通", "", ""]
    assert [(each.similarity, each.voices) for each in found[100]] == [(100, 2), (50, 2), (None, 0)]
    for bound in (-1, 101, "x"):
        with pytest.raises(ConfigError, match=rf"arm\.agreement\.min_similarity={bound} is out of range"):
            Medoid(min_similarity=bound)  # type: ignore[arg-type]


def test_who_learned_from_nothing_has_no_voice() -> None:
    shops = [said("a", "发圆通", num_examples=0), said("b", "没货")]
    assert Medoid().agree(["q"], shops) == (AgreedReply("q", "没货", 100.0, 1),)
    assert Medoid().agree(["q"], shops[:1]) == (AgreedReply("q"),)
