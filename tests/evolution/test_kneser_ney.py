"""Held to a reference that follows the formula word for word, and to what a distribution must be."""

import math
from itertools import product

import numpy as np
import pytest

from ecc_fed.evolution.kneser_ney import KneserNey, kneser_ney_perplexity

START, END = "\x02", "\x03"
TEXTS = ["发圆通", "发圆通哦", "圆通", "发中通哦哦", "", "哦"]


def reference(texts, order, vocabulary, context, following):
    """P of the formula, counted anew by looking through all texts for every number."""
    marked = [START + text + END for text in texts]

    def occurrences(gram):
        return sum(text.startswith(gram, place) for text in marked for place in range(len(text)))

    symbols = sorted({symbol for text in marked for symbol in text})

    def count(gram):
        if gram == START:
            return 0
        if len(gram) == order or (gram[0] == START and len(gram) > 1):
            return occurrences(gram)
        return sum(occurrences(symbol + gram) > 0 for symbol in symbols)

    def chance(before, symbol):
        length = len(before) + 1
        lower = chance(before[1:], symbol) if before else 1 / max(vocabulary, sum(count(s) > 0 for s in symbols))
        follow = [count(before + other) for other in symbols]
        if not sum(follow):
            return lower
        every = [count("".join(gram)) for gram in product(symbols, repeat=length)]
        once, twice = every.count(1), every.count(2)
        discount = once / (once + 2 * twice) if once else 0.5
        distinct = sum(number > 0 for number in follow)
        return (max(count(before + symbol) - discount, 0) + discount * distinct * lower) / sum(follow)

    return chance(context[max(0, len(context) - order + 1) :] if order > 1 else "", following)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_equals_the_formula_counted_from_scratch(order):
    model = KneserNey(TEXTS, order, vocabulary=20)
    contexts = [START, START + "发", START + "发圆", "圆通", "通", "哦哦", "中哦", "没", START + "没发", ""]
    for context in contexts:
        for following in "发圆通哦没" + END:
            expected = reference(TEXTS, order, 20, context, following)
            assert model.probability(context, following) == pytest.approx(expected, rel=1e-12), (context, following)


@pytest.mark.parametrize("order", [1, 2, 4, 6])
@pytest.mark.parametrize("vocabulary", [3, 30])
def test_chances_sum_to_one_over_the_vocabulary(order, vocabulary):
    model = KneserNey(TEXTS, order, vocabulary)
    seen = set("".join(TEXTS)) | {END}
    size = max(vocabulary, len(seen))
    unseen = size - len(seen)
    for context in (START, START + "发圆通", "通哦", "没有", ""):
        total = sum(model.probability(context, symbol) for symbol in seen)
        total += unseen * model.probability(context, "没")
        assert total == pytest.approx(1)
        assert all(model.probability(context, symbol) > 0 for symbol in seen | {"没"} if unseen or symbol in seen)


def test_a_character_that_goes_on_in_one_way_alone_is_unlikely_elsewhere():
    """Kneser and Ney's own point: 通 is frequent, but only ever after 圆."""
    model = KneserNey(["圆通"] * 9 + ["顺哦", "中哦", "好哦"], 2)
    assert model.probability("没", "哦") > model.probability("没", "通")
    assert model.probability("圆", "通") > 0.8


def test_a_longer_context_tells_more_where_texts_repeat():
    training = ["亲发圆通哦", "亲发中通的", "嗯发圆通呀"] * 3
    perplexities = [kneser_ney_perplexity(training, ["亲发圆通哦"], order) for order in (1, 2, 4)]
    assert perplexities == sorted(perplexities, reverse=True)


def test_perplexity_counts_the_end_and_divides_by_characters():
    model = KneserNey(TEXTS)
    nats = -math.log(model.probability(START, "发")) - math.log(model.probability(START + "发", END))
    assert model.nats("发") == pytest.approx(nats)
    total = sum(map(model.nats, ["发", "没有", ""]))
    assert kneser_ney_perplexity(TEXTS, ["发", "没有", ""]) == pytest.approx(math.exp(total / 3))
    assert kneser_ney_perplexity(TEXTS, ["没"], vocabulary=100) < kneser_ney_perplexity(TEXTS, ["没"]), "8,000"


def test_better_on_text_like_the_training_and_none_without_any():
    like = kneser_ney_perplexity(["发圆通快递哦"] * 5, ["发圆通快递哦"])
    unlike = kneser_ney_perplexity(["发圆通快递哦"] * 5, ["退货请联系我"])
    assert like < unlike < math.inf
    assert kneser_ney_perplexity([], ["a"]) is None
    assert kneser_ney_perplexity(["a"], [""]) is None
    assert kneser_ney_perplexity(["a"], []) is None
    assert kneser_ney_perplexity([""], ["a"]) is not None


def test_it_knows_a_source_of_characters_nearly_as_well_as_its_entropy_allows():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("甲乙丙丁"), 40)) for _ in range(100)]
    perplexity = kneser_ney_perplexity(texts[:80], texts[80:])
    assert 4 < perplexity < 5.5
