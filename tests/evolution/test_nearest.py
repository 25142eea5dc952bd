"""The nearest known texts, against cosines written out feature by feature."""

import math

import pytest

from ecc_fed.evolution.nearest import NearestTexts, are_spaced, features

KNOWN = ["发什么快递", "多少钱", "发什么快递？", "这个多少钱呀", "可以退货吗", "!!!"]


def cosine(text: str, other: str, known: list[str]) -> float:
    """Of two TF-IDF vectors, over all their features."""
    bags = [features(each) for each in known]

    def vector(each: str) -> dict[str, float]:
        return {
            f: n * (math.log((len(known) + 1) / (sum(f in bag for bag in bags) + 1)) + 1)
            for f, n in features(each).items()
        }

    a, b = vector(text), vector(other)
    lengths = math.hypot(*a.values()) * math.hypot(*b.values()) if a and b else 0.0
    return sum(x * b.get(f, 0.0) for f, x in a.items()) / lengths if lengths else 0.0


@pytest.mark.parametrize("text", ["发什么快递", "多少钱一件", "钱钱钱", "天气", "ＡＢ c", "", "?"])
def test_cosines(text: str) -> None:
    known = [*KNOWN, "ab C"]
    expected = [cosine(text, other, known) for other in known]
    assert NearestTexts(known).similarities(text).tolist() == pytest.approx(expected, abs=1e-6)


def test_features_are_of_letters_and_digits_folded() -> None:
    assert features("Ａb! b") == {"a": 1, "b": 2, "ab": 1, "bb": 1}


def test_the_nearest_come_last_and_of_equals_the_newest() -> None:
    index = NearestTexts(KNOWN)
    assert index.nearest("发什么快递", 2) == [0, 2]
    assert index.nearest("天气", 2) == [4, 5], "as good as nothing is known: the newest"
    assert index.nearest("多少钱", 1) == [1]
    assert index.nearest("多少钱", 0) == []
    assert sorted(index.nearest("多少钱", 99)) == list(range(6))
    assert NearestTexts([]).nearest("多少钱", 3) == []


def test_unknown_features_make_a_question_farther() -> None:
    index = NearestTexts(KNOWN)
    assert 0 < index.similarities("多少钱包邮送货上门").max() < index.similarities("多少钱").max() == 1.0


def test_words_of_spaced_texts_count_with_the_trigrams_within_them() -> None:
    # A word of one letter is its own trigram.
    assert features("Do_ I, do!", spaced=True) == {"<do>": 2, "<do": 2, "do>": 2, "<i>": 2}


@pytest.mark.parametrize(
    ("texts", "spaced"),
    [
        (["Where is my order?", "In transit, via DHL."], True),
        (["发什么快递", "DHL 还是 EMS 呀"], False),
        (["iPhone 15 Pro Max 多少钱呀可以便宜吗", "这款 Galaxy 有货"], True),
        (["520401029636"], False),
        (["どこですか"], False),
        (["где мой заказ"], True),
        ([], False),
    ],
)
def test_texts_are_spaced_where_most_letters_are_of_words(texts: list[str], spaced: bool) -> None:
    assert are_spaced(texts) is spaced


def test_english_questions_are_told_apart_by_words() -> None:
    known = ["Which courier delivers?", "How is the warranty handled?", "Can I return shoes?", "What about a refund?"]
    index = NearestTexts(known)
    assert index.nearest("do you refund", 1) == [3]
    assert index.nearest("who are your couriers", 1) == [0], "by the trigrams that it shares with courier"
    assert index.nearest("returning a shoe", 1) == [2]
    # What runs across words makes nothing near.
    assert NearestTexts(["no way", "yes"]).similarities("ow")[0] == 0.0


def test_chinese_with_english_names_in_it_goes_by_characters() -> None:
    index = NearestTexts(["发 DHL 快递吗", "多少钱"])
    assert index.similarities("快递").tolist()[0] > 0 == index.similarities("快递").tolist()[1]
