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
