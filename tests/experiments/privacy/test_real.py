"""Marks and masks: what is drawn where, and what becomes of it."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from ecc_fed.core.errors import UserError
from experiments.privacy import real
from experiments.privacy.real import Mark, Message, filled, read_marks, read_messages, sessions, tried

_PHONE = Message("s", "customer", "电话改为[电话x]，第[数字x]次了", (Mark(4, 9, "phone"),))


def test_a_marked_mask_becomes_a_value_and_others_a_few_digits() -> None:
    text, values = filled(_PHONE, Random(1))
    ((kind, value),) = values
    assert kind == "phone" and len(value) == 11 and value.isdecimal()
    head, _, tail = text.partition(value)
    assert head == "电话改为" and tail.startswith("，第") and len(tail) <= len("，第300次了")
    assert filled(_PHONE, Random(2))[0] != text


def test_a_mark_over_text_keeps_it() -> None:
    message = Message("s", "customer", "送到[姓名x]路十号吧", (Mark(2, 10, "address"),))
    assert filled(message, Random(1))[1] == [("address", "谢谢路十号")]


def test_masks_side_by_side_under_one_mark_are_one_value() -> None:
    message = Message("s", "customer", "卡号[数字x][身份证号x]谢谢", (Mark(2, 14, "bank_card"),))
    text, ((_, value),) = filled(message, Random(1))
    assert text == f"卡号{value}谢谢" and value.isdecimal()


def test_what_became_of_values_is_told_and_what_was_taken_besides() -> None:
    bare = Message("s", "agent", "[姓名x]，您的13800001111", (Mark(0, 5, "name"),))
    found, others = tried([_PHONE, bare], Random(1))
    phone, name = found
    assert phone.whole and phone.gone and (phone.kind, name.kind) == ("phone", "name")
    assert not name.whole and not name.gone
    assert others == ["phone: 13800001111"]


def test_dialogues_are_kept_apart() -> None:
    other = Message("t", "agent", "好", ())
    assert list(sessions([_PHONE, other, _PHONE])) == [[_PHONE, _PHONE], [other]]


def test_the_file_that_was_marked_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sample.txt"
    with pytest.raises(UserError, match="cannot be read"):
        read_messages(path, {})
    path.write_text("a\tu\t0\t0\t0\tnan\t电话改为[电话x]\n", encoding="utf-8")
    with pytest.raises(UserError, match="marks are of another file"):
        read_messages(path, {})
    monkeypatch.setattr(real, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert read_messages(path, {1: (Mark(4, 9, "phone"),)}) == [
        Message("a", "customer", "电话改为[电话x]", (Mark(4, 9, "phone"),))
    ]


def test_marks_are_places_of_known_classes_in_order() -> None:
    marks = read_marks()
    assert sum(map(len, marks.values())) == 469
    for of_line in marks.values():
        assert all(mark.kind in real.MAKERS and mark.start < mark.stop for mark in of_line)
        assert all(one.stop <= other.start for one, other in pairwise(of_line))
