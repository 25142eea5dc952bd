"""Loops, broken characters and variety, on replies whose answer is plain."""

import pytest

from experiments.real.wording import broken, distinct, loops, units


@pytest.mark.parametrize(
    ("reply", "looped"),
    [
        ("好的亲好的亲好的亲好的亲", True),
        ("请稍等,请稍等,请稍等,请", False),  # three times
        ("yes sir yes sir yes sir yes sir ", True),
        ("哈哈哈哈", False),  # four characters
        ("哈哈哈哈哈哈哈哈", True),
        ("............", False),
        ("您好\n您好\n您好\n您好\n", True),
        ("亲,已经发货了哦", False),
        ("甲" + "乙丙丁戊" * 4 + "己", True),
        ("".join(chr(0x4E00 + place) for place in range(31)) * 4, False),  # a piece of thirty-one
        ("", False),
    ],
)
def test_a_loop_is_a_short_piece_four_times_in_a_row(reply, looped):
    assert loops(reply) is looped


def test_broken_characters_are_counted():
    assert [broken(text) for text in ("好", "好\ufffd", "\ufffd\ufffd吗\ufffd")] == [0, 1, 3]


def test_units_are_characters_or_words():
    assert units("发 DHL,Order #12 哦~") == ["发", "dhl", "order", "12", "哦"]


def test_distinct_is_the_share_of_different_ngrams_within_replies():
    # Characters: 好 好 的 好; of pairs 好好, 好的 within the first, none in the second.
    assert distinct(["好好的", "好"], 1) == 2 / 4
    assert distinct(["好好的", "好"], 2) == 1.0
    assert distinct(["你好你好"], 2) == 2 / 3
    assert distinct(["好", ""], 2) is None
