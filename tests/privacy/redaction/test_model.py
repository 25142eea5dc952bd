"""A token classifier behind the order record: labels, words, windows, scores, and what is refused at once."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForTokenClassification, AutoTokenizer

from ecc_fed.core.errors import ConfigError, EccError, ModelError
from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction import token_classifier
from ecc_fed.privacy.redaction.draft import Draft, Place
from ecc_fed.privacy.redaction.engines import EngineRedaction
from ecc_fed.privacy.redaction.labels import CLASSES, Tag, read_tags, tag_of
from ecc_fed.privacy.redaction.model import ModelRedaction
from ecc_fed.privacy.redaction.placeholders import LABELS
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from ecc_fed.privacy.redaction.token_classifier import Span, TokenClassifier, windows

from .handmade import save_byte_classifier, save_classifier
from .texts import RECORD, said, sent, taken


def opened(folder: Path, window: int = 256, overlap: int = 64, batch: int = 8) -> TokenClassifier:
    return TokenClassifier(str(folder), read_tags(str(folder), {}), window, overlap, batch)


def values(folder: Path, text: str, **settings: int) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.stop]) for span in opened(folder, **settings).spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我是王志强，你好", [("name", "王志强")]),
        ("王志强李芳", [("name", "王志强"), ("name", "李芳")]),  # B begins another
        ("  王 志强\n", [("name", "王 志强")]),
        ("打13800001111，谢谢", [("phone", "13800001111")]),
        ("打1380000111199，谢谢", []),  # one word of no known pieces
        ("京东的王芳", [("name", "王芳")]),  # an organisation is no customer
        ("扣扣", [("account", "扣扣")]),  # a label without a prefix joins
        ("May Smith", [("name", "May"), ("name", "Smith")]),  # two whole ones
        ("Maybe", []),
        ("😀王芳\u3000志", [("name", "王芳\u3000志")]),
        ("[SEP]王芳[PAD]", [("name", "王芳")]),
        ("", []),
        (" ", []),
    ],
)
def test_spans_lie_where_the_tokens_do(classifier: Path, text: str, expected: list[tuple[str, str]]) -> None:
    assert values(classifier, text) == expected


def test_pieces_of_one_sign_are_one(tmp_path: Path) -> None:
    folder = save_byte_classifier(tmp_path, {"王".encode()[:1]: "B-name", "伟".encode()[:1]: "I-name"})
    assert "王".encode()[:1] == b"\xe7" and "伟".encode()[:1] == b"\xe4"
    assert values(folder, "a王伟b") == [("name", "王伟")]
    assert values(folder, "a王b伟") == [("name", "王"), ("name", "伟")]


def test_a_word_has_the_class_of_its_first_piece(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, {"138": "B-phone", "##0000": "O", "##1111": "B-name"})
    assert values(folder, "打13800001111") == [("phone", "13800001111")]
    assert [span.score for span in opened(folder).spans("13800001111")] == [pytest.approx(1.0)]


@pytest.mark.parametrize(
    ("labels", "text", "expected"),
    [
        ({"甲": "B-name", "乙": "I-name"}, "甲乙甲乙", ["甲乙", "甲乙"]),
        (
            {"甲": "B-name", "乙": "I-name", "丙": "E-name", "丁": "S-name"},
            "甲乙丙丁丁乙丙",
            ["甲乙丙", "丁", "丁", "乙丙"],
        ),
        ({"甲": "B_name", "丙": "L_name", "丁": "U_name"}, "甲丙丁", ["甲丙", "丁"]),
        ({"甲": "name"}, "甲甲、甲", ["甲甲", "甲"]),
        ({"甲": "I-name"}, "甲甲", ["甲甲"]),  # IOB1 begins with I
    ],
)
def test_every_convention_of_prefixes(tmp_path: Path, labels: dict[str, str], text: str, expected: list[str]) -> None:
    assert values(save_classifier(tmp_path, labels), text) == [("name", each) for each in expected]


def test_probabilities_are_those_of_the_model_itself(tmp_path: Path) -> None:
    """A random one with two layers, in windows of one batch with blanks, against one text at a time."""
    text = "王志强李芳138京东" * 3 + "王"
    folder = save_classifier(
        tmp_path, {sign: f"B-name{place}" for place, sign in enumerate("王志强李芳京东")}, layers=2
    )
    labels = {"name0": "name"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForTokenClassification.from_pretrained(folder)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    cut = list(windows(len(ids), 14, 4))
    assert len(cut) > 2 and len(ids) > cut[-1].stop - cut[-1].start < 14
    mine = TokenClassifier(str(folder), read_tags(str(folder), labels), 16, 4, 8)._probabilities(ids)
    for each in cut:
        whole = [tokenizer.cls_token_id, *ids[each.start : each.stop], tokenizer.sep_token_id]
        with torch.no_grad():
            chances = torch.softmax(model(input_ids=torch.tensor([whole])).logits, -1)[0, 1:-1].numpy()
        expected = chances[each.first - each.start : each.last - each.start]
        np.testing.assert_allclose(mine[each.first : each.last], expected, atol=1e-6)


@given(st.integers(1, 300), st.integers(9, 40), st.data())
def test_every_token_counts_once_and_deep_within_its_window(tokens: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 2))
    cut = list(windows(tokens, size, overlap))
    assert [place for each in cut for place in range(each.first, each.last)] == list(range(tokens))
    for each in cut:
        assert each.start <= each.first < each.last <= each.stop <= each.start + size
        assert each.start == 0 or each.first - each.start >= overlap // 2
        assert each.stop == tokens or each.stop - each.last >= overlap // 2


def test_windows_change_nothing_where_tokens_stand_for_themselves(classifier: Path) -> None:
    text = "我是王志强，打13800001111，李芳。" * 40
    whole = opened(classifier, window=512).spans(text[:300])
    assert opened(classifier, window=16, overlap=4, batch=3).spans(text[:300]) == whole
    assert len(opened(classifier, window=17, overlap=0, batch=1).spans(text)) == 120


def test_a_hundred_thousand_signs_take_no_more_than_their_share(classifier: Path) -> None:
    redaction = ModelRedaction(str(classifier), patterns=False)

    def seconds(signs: int) -> float:
        started = time.process_time()
        session = redaction.redact([Turn("customer", ("我是王志强，" * signs)[:signs])], None)
        assert len(session.hidden) == 1
        return time.process_time() - started

    small, large = seconds(24_000), seconds(96_000)
    assert large < 10 * small + 0.1


def test_what_the_model_is_less_sure_of_is_left_alone(tmp_path: Path) -> None:
    folder = str(save_classifier(tmp_path, {"王": "B-name", "伟": "I-name"}, sharpness=1.0))
    (span,) = opened(Path(folder)).spans("王伟")
    assert 0.5 < span.score < 0.9
    for score, found in ((span.score - 1e-6, 1), (span.score + 1e-6, 0)):
        assert len(taken(ModelRedaction(folder, patterns=False, min_score=score).redact(said("王伟"), None))) == found


def test_the_order_record_comes_first_the_model_then_and_patterns_last(classifier: Path) -> None:
    texts = said("我是王志强，不是李 芳", "单号YT9876543210987，李芳再见")
    alone = ModelRedaction(str(classifier), patterns=False).redact(texts, RECORD)
    assert sent(alone) == ["我是[姓名1]，不是[姓名2]", "单号YT9876543210987，[姓名2]再见"]
    assert taken(alone) == [("name", "王志强"), ("name", "李 芳")]
    assert sent(ModelRedaction(str(classifier)).redact(texts, RECORD))[1] == "单号[订单号1]，[姓名2]再见"


def test_labels_of_one_class_do_not_compete_and_a_span_scores_its_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(save_classifier(tmp_path, {"王": "B-name", "伟": "I-name"}))
    chances = {("name", True): (0.35, 0.1), ("name", False): (0.25, 0.8), (None, False): (0.4, 0.1)}
    rows = np.array([[chances[tag.kind, tag.begins][token] for tag in found._tags] for token in (0, 1)])
    monkeypatch.setattr(TokenClassifier, "_probabilities", lambda self, ids: rows)
    assert found.spans("王伟") == (Span("name", 0, 2, pytest.approx(0.75)),)


def test_labels_stand_by_their_numbers_whatever_their_order(classifier: Path, tmp_path: Path) -> None:
    named = json.loads((classifier / "config.json").read_text())["id2label"]
    path = changed(classifier, tmp_path, id2label=dict(reversed(named.items())))
    assert read_tags(path, {}) == read_tags(str(classifier), {})


def test_what_the_model_calls_it_counts_where_patterns_say_otherwise(classifier: Path) -> None:
    redaction = ModelRedaction(str(classifier), labels={"private_phone": "account"})
    assert taken(redaction.redact(said("打13800001111"), None)) == [("account", "13800001111")]
    assert taken(redaction.redact(said("打13900002222"), None)) == [("phone", "13900002222")]


def test_a_span_without_a_letter_or_digit_is_no_value(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, {"，": "B-name", "王": "B-name"})
    assert taken(ModelRedaction(str(folder), patterns=False).redact(said("好，王。"), None)) == [("name", "王")]


def test_a_span_over_what_is_taken_keeps_its_sides(classifier: Path) -> None:
    session = ModelRedaction(str(classifier), patterns=False).redact(said("王[电话1]芳", "㎏王芳㎏"), None)
    assert sent(session) == ["[姓名1][原文1][姓名2]", "㎏[姓名3]㎏"]
    assert session.restore("[姓名3]").text == "王芳"


def test_where_the_model_finds_nothing_it_is_order_record(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, {"鬱": "B-name"})
    texts = said("王志强，[电话1]，单号SF123456789012", "我叫李芳", "李芳在吗，a@b.cn")
    assert ModelRedaction(str(folder)).redact(texts, RECORD) == OrderRecordRedaction().redact(texts, RECORD)


def test_labels_by_the_users_word(classifier: Path) -> None:
    labels = {"ORG": "account", "PER": None}
    session = ModelRedaction(str(classifier), patterns=False, labels=labels).redact(said("京东王芳"), None)
    assert taken(session) == [("account", "京东")]


@pytest.mark.parametrize(
    ("label", "tag"),
    [
        ("O", Tag(None)),
        ("B-PER", Tag("name", begins=True)),
        ("I-name", Tag("name")),
        ("E-private_person", Tag("name", ends=True)),
        ("S-FIRSTNAME", Tag("name", begins=True, ends=True)),
        ("B-mobile", Tag("phone", begins=True)),
        ("TELEPHONENUM", Tag("phone")),
        ("phone_number", Tag("phone")),
        ("I-address", Tag("address")),
        ("B-BUILDINGNUMBER", Tag("address", begins=True)),
        ("GPE", Tag("address")),
        ("EMAIL", Tag("email")),
        ("B-QQ", Tag("account", begins=True)),
        ("B-vx", Tag("account", begins=True)),
        ("S-account_number", Tag("account", begins=True, ends=True)),
        ("S-SSN", Tag("id_card", begins=True, ends=True)),
        ("ID_CARD", Tag("id_card")),
        ("CREDITCARD", Tag("bank_card")),
        ("B-BANKACCOUNT", Tag("bank_card", begins=True)),
        ("B-ORG", Tag(None, begins=True)),
        ("B-movie", Tag(None, begins=True)),
        ("LABEL_0", Tag(None)),
        ("B-", Tag(None)),
        ("", Tag(None)),
    ],
)
def test_labels_say_classes(label: str, tag: Tag) -> None:
    assert tag_of(label, CLASSES) == tag


def test_every_label_has_a_class_that_has_a_placeholder() -> None:
    assert set(CLASSES.values()) == set(LABELS["zh"]) - {"typed"}


def changed(folder: Path, tmp_path: Path, **entries: object) -> str:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text()) | entries
    (copy / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return str(copy)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "is BertForMaskedLM, which labels no tokens: give a model"),
        ({"architectures": None}, "is a model of no named kind, which labels no tokens"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "say nothing of private values: LABEL_0, LABEL_1: give"),
        ({"id2label": {"0": "O", "2": "name"}}, "has no id2label that names every output"),
        ({"id2label": None}, "has no id2label"),
        ({"id2label": 7}, "has no readable config.json"),
    ],
)
def test_another_model_is_refused_by_its_config(
    classifier: Path, tmp_path: Path, entries: dict[str, object], message: str
) -> None:
    path = changed(classifier, tmp_path, **entries)
    for ask in (ModelRedaction, ModelRedaction.check_settings):
        with pytest.raises(ModelError, match=message):
            ask(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "/nowhere"}, r"'/nowhere' is no folder: give redaction\.path=FOLDER"),
        ({"path": " "}, r"' ' is no folder"),
        ({"min_score": -1}, r"redaction\.min_score=-1 is out of range"),
        ({"patterns": 3}, r"redaction\.patterns=3 is out of range: true or false"),
        ({"window_tokens": 8}, r"redaction\.window_tokens=8 is out of range"),
        ({"window_tokens": 20.5}, r"redaction\.window_tokens=20\.5 is out of range: a whole number"),
        ({"overlap_tokens": 128}, r"redaction\.overlap_tokens=128 is out of range: a number from 0 to 124"),
        ({"batch_size": 0}, r"redaction\.batch_size=0"),
        ({"labels": {"ORG": "organisation"}}, r"redaction\.labels\.ORG=organisation is out of range: one of account"),
        ({"labels": {"ORGA": "name"}}, r"has no label ORGA: in redaction\.labels name some of O, B-PER"),
    ],
)
def test_settings_are_refused_before_anything_starts(classifier: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EccError, match=message):
        ModelRedaction.check_settings(**{"path": str(classifier), **settings})


def test_missing_weights_are_refused(classifier: Path, tmp_path: Path) -> None:
    path = changed(classifier, tmp_path, num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"redaction model .* lacks 16 weights"):
        ModelRedaction(path)


def test_a_window_that_the_model_cannot_read_is_refused(classifier: Path) -> None:
    with pytest.raises(ConfigError, match=r"redaction\.window_tokens=600 is out of range: the model reads 512 at once"):
        ModelRedaction(str(classifier), window_tokens=600)


def with_other(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    real = token_classifier.open_model

    def other(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        change(found)
        return found

    monkeypatch.setattr(token_classifier, "open_model", other)


def test_a_slow_tokenizer_is_refused_in_one_line(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_other(monkeypatch, lambda found: object.__setattr__(found, "tokenizer", SimpleNamespace(is_fast=False)))
    with pytest.raises(ModelError, match=r"redaction model .* has a slow tokenizer.*: save it with a tokenizer\.json"):
        ModelRedaction(str(classifier))


def test_a_model_that_gives_no_numbers_lets_nothing_pass(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_other(monkeypatch, lambda found: found.model.classifier.bias.fill_(float("nan")))
    with pytest.raises(ModelError, match="gives no numbers for a text"):
        ModelRedaction(str(classifier)).redact(said("在吗"), None)


def test_the_same_text_is_read_once(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def spans(self: TokenClassifier, text: str) -> tuple[Span, ...]:
        asked.append(text)
        return ()

    monkeypatch.setattr(TokenClassifier, "spans", spans)
    redaction = ModelRedaction(str(classifier))
    redaction.redact(said("在吗", "在吗", "好"), None)
    redaction.redact(said("好"), None)
    assert asked == ["在吗", "好"]
    # What the record took is blank to it, and all else as it was said.
    redaction.redact(said("ＡＢ王志强，好"), RECORD)
    assert asked[2:] == ["ＡＢ   ，好"]


class WholeTurns(EngineRedaction):
    """An engine that takes all there is, blanks and marks included."""

    name = "whole turns"

    def _places(self, draft: Draft, turn: int) -> list[tuple[str, Place]]:
        return [("name", Place(turn, 0, len(draft.plain[turn])))]


def test_blanks_at_the_ends_of_a_place_stay_where_they_are() -> None:
    session = WholeTurns("zh", False, 0.5).redact(said("  王芳 ", "，。", "李芳 "), None)
    assert sent(session) == ["  [姓名1] ", "，。", "[姓名2] "]
