"""What links two dialogues of one customer, and that nothing does once values are gone."""

import math
from statistics import mean

import pytest

from ecc_fed.privacy.redaction.plain import NoRedaction
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from experiments.privacy.dialogues import Dialogue, simulated
from experiments.privacy.linkability import KEPT, likenesses, linked, pieces, placeholders, second_visit


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return list(simulated(120, seed=3))


def test_the_second_visit_says_the_first_customers_values_and_no_other_of_its_own(dialogues: list[Dialogue]) -> None:
    changed = 0
    for first, second in zip(dialogues[::2], dialogues[1::2], strict=True):
        turns, record = second_visit(second, first, KEPT["the same order"])
        assert record == first.customer and len(turns) == len(second.pairs[-1].prompt)
        text = "\n".join(turn.text for turn in turns)
        assert second.customer is not None
        # A short name may be part of another word.
        gone = [value for kind, value in second.customer.values() if kind in ("phone", "order", "parcel")]
        assert not any(value in text for value in gone)
        changed += turns != second.pairs[-1].prompt
        _, record = second_visit(second, first, KEPT["a new order"])
        assert record is not None and record.order_numbers == second.customer.order_numbers
        assert record.phone == (first.customer.phone if first.customer else "")
        assert second_visit(second, first, ()) == (second.pairs[-1].prompt, second.customer)
    assert changed > 20


def test_rare_pieces_weigh_more() -> None:
    assert pieces("abc") == {"ab": 1, "bc": 1, "abc": 1}
    known = ["订单 77123", "订单 在哪", "订单 好的"]
    found = likenesses("订单 77123 呢", known)
    assert max(range(3), key=found.__getitem__) == 0 and found[1] == pytest.approx(found[2], abs=0.2)
    assert likenesses("订单 77123", known)[0] == pytest.approx(1.0)
    assert likenesses("xyz", known) == [0.0, 0.0, 0.0]
    assert all(math.isfinite(each) for each in likenesses("", known))


def test_placeholders_are_counted_with_their_numbers() -> None:
    assert placeholders("[电话1]和[电话2]，[电话1]") == {"[电话1]": 2, "[电话2]": 1}


def test_values_link_and_without_them_it_is_chance(dialogues: list[Dialogue]) -> None:
    plain = linked(dialogues, NoRedaction(), KEPT["the same order"])
    control = linked(dialogues, NoRedaction(), KEPT["somebody else (control)"])
    redacted = linked(dialogues, OrderRecordRedaction(), KEPT["the same order"])
    assert mean(plain["shared"]) > 0.1 and sum(control["shared"]) == 0
    # Whoever shares a value is found, the others by chance.
    expected = mean(s + (1 - s) * c for s, c in zip(plain["shared"], plain["chance"], strict=True))
    assert mean(plain["likeness"]) == pytest.approx(expected, abs=0.1) and mean(plain["likeness"]) > 0.2
    assert mean(control["likeness"]) == pytest.approx(mean(control["chance"]), abs=0.1)
    # Redacted, who says what is all the same: the second visit is what it would be of anybody.
    other = linked(dialogues, OrderRecordRedaction(), KEPT["somebody else (control)"])
    assert mean(redacted["likeness"]) == pytest.approx(mean(other["likeness"]), abs=0.03)
