from dataclasses import replace

from ecc_fed.evolution.few_shots import few_shots, last
from tests.evolution.fakes import pair, settings

PAIRS = tuple(pair("a", f"p{i}") for i in range(4))
KNOWN = [
    replace(pair("a", str(i)), query=query)
    for i, query in enumerate(["发什么快递", "多少钱", "发顺丰快递吗", "可以退货吗", "什么快递"])
]


def test_the_last_pairs_are_the_latest_in_order() -> None:
    assert last(PAIRS, 2) == PAIRS[2:]
    assert last(PAIRS, 0) == ()
    assert last(PAIRS, 4) == last(PAIRS, 99) == PAIRS
    assert last((), 3) == ()


def test_the_latest_are_the_same_for_all() -> None:
    first, second = few_shots(PAIRS[:2], KNOWN, settings(examples="latest", teacher_examples=2).evolution)
    assert first is second
    assert first == KNOWN[3:]


def test_the_nearest_are_each_querys_own_oldest_first() -> None:
    asked = [replace(PAIRS[0], query="发什么快递"), replace(PAIRS[1], query="多少钱")]
    loop = settings(examples="nearest", nearest_examples=3, teacher_examples=1).evolution
    found = few_shots(asked, KNOWN, loop)
    assert found[0] == [KNOWN[0], KNOWN[2], KNOWN[4]]
    assert KNOWN[1] in found[1] and len(found[1]) == 3
    assert few_shots(asked, [], loop) == [[], []]
