"""The measuring itself: generators that say what is true, a scan that finds every form, and a control that leaks."""

from __future__ import annotations

import random

import pytest

from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction.checksums import is_id_card, passes_luhn
from ecc_fed.privacy.redaction.plain import NoRedaction
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction
from experiments.privacy.dialogues import Dialogue, simulated
from experiments.privacy.disguise import FORMS, SPLIT, disguised, halves
from experiments.privacy.generated import TEMPLATES, bank_card, id_card, sentences
from experiments.privacy.leaks import leaks_of
from experiments.privacy.redaction import recall_on_dialogues, recall_on_sentences
from experiments.privacy.scan import Haystack, same_value

NUMBERS = ("phone", "order", "parcel", "id_card", "bank_card", "account", "email")


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return list(simulated(40, seed=3))


@pytest.mark.parametrize("form", FORMS)
def test_the_scan_finds_every_form(form: str) -> None:
    for value in ("13800001111", "SF123456789012", "王志强", "北京市朝阳区人民路12号"):
        assert Haystack(f"顾客：我{disguised(value, [value], form)}的\n客服：").holds(value)
        assert not Haystack("顾客：我138的\n客服：").holds(value)


def test_the_scan_finds_what_is_split_over_turns_of_one_speaker() -> None:
    assert Haystack("顾客：我电话138\n客服：嗯\n顾客：00001111哈").holds("13800001111")
    assert not Haystack("顾客：我电话138\n客服：00001111").holds("13800001111")
    assert halves("电话13800001111哈", ["13800001111"]) == ("电话13800", "001111哈")
    assert halves("在吗", ["13800001111"]) == ("在吗",)


def test_equal_values_are_told_from_others() -> None:
    assert same_value("１３８ ００", "13800") and same_value("一三八", "138")
    assert not same_value("13800", "13801")


def test_generated_sentences_hold_their_values_and_repeat() -> None:
    for language, kinds in TEMPLATES.items():
        for kind in kinds:
            drawn = list(sentences(language, kind, 12, seed=1))
            assert drawn == list(sentences(language, kind, 12, seed=1))
            assert drawn != list(sentences(language, kind, 12, seed=2))
            assert all(sentence.value in sentence.text for sentence in drawn)


def test_generated_cards_prove_themselves() -> None:
    rng = random.Random(0)
    assert all(is_id_card(id_card(rng)) and passes_luhn(bank_card(rng)) for _ in range(200))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_patterns_find_numbers_of_every_class(language: str) -> None:
    for kind, form, values, whole, gone in recall_on_sentences(language, 100, seed=11):  # type: ignore[arg-type]
        if kind in NUMBERS:
            assert whole >= 0.99 * values and gone >= 0.99 * values, (kind, form)
        if kind == "name, bare":
            assert gone == 0  # the reason for the order record


def test_patterns_find_the_simulators_numbers(dialogues: list[Dialogue]) -> None:
    found = {(kind, form): (values, whole) for kind, form, values, whole, _ in recall_on_dialogues(dialogues)}
    assert all(values == whole for (kind, _), (values, whole) in found.items() if kind in NUMBERS)
    assert sum(values for values, _ in found.values()) > 4 * 40


@pytest.mark.parametrize("form", [*FORMS, SPLIT])
def test_with_the_order_record_nothing_reaches_the_cloud_and_without_redaction_all_does(
    dialogues: list[Dialogue], form: str
) -> None:
    control = leaks_of(dialogues, NoRedaction(), form)
    assert control.leaked.total() == control.said > 80 and control.crossed > 0
    assert control.counts.refused == control.counts.restored == 0
    found = leaks_of(dialogues, OrderRecordRedaction(), form)
    assert found.said == control.said
    assert (found.leaked.total(), found.dialogues, found.crossed) == (0, 0, 0)
    assert found.counts.restored > 0 and sum(found.counts.values.values()) > 0


def test_turns_come_back(dialogues: list[Dialogue]) -> None:
    for redactor in (PatternRedaction(), OrderRecordRedaction()):
        for dialogue in dialogues:
            session = redactor.redact(dialogue.turns, dialogue.customer)
            assert [session.restore(turn.text).text for turn in session.turns] == [t.text for t in dialogue.turns]


def test_dialogues_are_private_or_not_as_asked(dialogues: list[Dialogue]) -> None:
    assert all(dialogue.said and dialogue.customer is not None for dialogue in dialogues)
    plain = list(simulated(20, seed=3, private=False))
    assert not any(dialogue.said for dialogue in plain)
    assert not any(PatternRedaction().redact([Turn(t.role, t.text)], None).hidden for d in plain for t in d.turns)
    assert any(dialogue.customer is None for dialogue in simulated(40, seed=3, without_record=0.5))
