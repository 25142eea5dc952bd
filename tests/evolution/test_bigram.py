import itertools
import math

import pytest

from ecc_fed.evolution.bigram import bigram_perplexity


def test_equals_the_formula_by_hand() -> None:
    # training "ab": contexts start, a, b once each; unigrams a, b, end once each (total 3).
    unigram = 2 / (3 + 10)
    seen = (1 + 5 * unigram) / (1 + 5)
    assert bigram_perplexity(["ab"], ["ab"], 5.0, 10) == pytest.approx(math.exp(-3 * math.log(seen) / 2))


def test_better_on_text_like_the_training_and_none_without_any() -> None:
    like = bigram_perplexity(["发圆通快递哦"] * 5, ["发圆通快递哦"])
    unlike = bigram_perplexity(["发圆通快递哦"] * 5, ["退货请联系我"])
    assert like is not None and unlike is not None and like < unlike
    assert bigram_perplexity([], ["a"]) is None
    assert bigram_perplexity(["a"], [""]) is None


def test_counts_over_many_texts_follow_the_formula() -> None:
    training, held_out = ["abab", "b", ""], ["ab", "", "ca"]
    marked = ["\x02abab\x03", "\x02b\x03", "\x02\x03"]
    following = [text[1:] for text in marked]
    pairs = [text[i : i + 2] for text in marked for i in range(len(text) - 1)]
    total = sum(map(len, following))
    nats = 0.0
    for text in ["\x02ab\x03", "\x02\x03", "\x02ca\x03"]:
        for before, after in itertools.pairwise(text):
            unigram = (sum(text.count(after) for text in following) + 1) / (total + 50)
            count = sum(text[:-1].count(before) for text in marked)
            nats -= math.log((pairs.count(before + after) + 2.0 * unigram) / (count + 2.0))
    assert bigram_perplexity(training, held_out, 2.0, 50) == pytest.approx(math.exp(nats / 4))
    assert bigram_perplexity(training, held_out) == bigram_perplexity(training, held_out, 5.0, 8_000)
    assert bigram_perplexity([""], ["a"]) is not None and bigram_perplexity(["a"], []) is None
