"""The nearest known texts, against cosines written out feature by feature."""

import math

import pytest

from ecc_fed.evolution.nearest import NearestTexts, features

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
