from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, BertModel

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.judging.relevance import Activation, CrossEncoderRelevance

QUERIES = ["请问发什么快递", "多少钱", "亲", "价格是多少钱呢请问您好", "请问发什么快递"]
REPLIES = ["发中通快递哦", "12 元", "您好", "好", "价格是 12 元"]


@pytest.mark.parametrize(("activation", "labels"), [("softmax_1", 2), ("sigmoid", 1)])
def test_scores_equal_the_formula_by_hand(
    classifier_folder: Callable[[int], Path], activation: Activation, labels: int
) -> None:
    folder = classifier_folder(labels)
    model = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for query, reply in zip(QUERIES, REPLIES, strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(query, reply, return_tensors="pt")).logits[0].double().numpy()
        weights = np.exp(logits)
        expected.append(weights[1] / weights.sum() if labels == 2 else weights[0] / (1 + weights[0]))
    scores = CrossEncoderRelevance(str(folder), activation, batch_size=3, max_tokens=48).relevance(QUERIES, REPLIES)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=2e-6)


def test_a_score_does_not_depend_on_its_batch(classifier_folder: Callable[[int], Path]) -> None:
    model = CrossEncoderRelevance(str(classifier_folder(1)), "sigmoid", batch_size=5, max_tokens=48)
    together = model.relevance(QUERIES, REPLIES)
    alone = [model.relevance([query], [reply])[0] for query, reply in zip(QUERIES, REPLIES, strict=True)]
    np.testing.assert_allclose(together, alone, atol=2e-6)
    assert np.array_equal(together, model.relevance(QUERIES, REPLIES))
    assert model.relevance([], []).shape == (0,)


def test_of_a_pair_that_is_too_long_the_longer_text_is_cut(classifier_folder: Callable[[int], Path]) -> None:
    model = CrossEncoderRelevance(str(classifier_folder(1)), "sigmoid", max_tokens=16)
    # 16 tokens: three marks, 4 of the query, 9 of the reply.
    whole, cut = model.relevance(["发什么快"] * 2, ["中通" * 60, "中通" * 4 + "中"])
    assert whole == cut
    query, other = model.relevance(["中通" * 60, "中通" * 4 + "中"], ["发什么快"] * 2)
    assert query == other
    assert whole != model.relevance(["发什么快"], ["中通" * 4])[0]


def test_the_packages_own_is_read_unless_told_otherwise() -> None:
    plain, named = CrossEncoderRelevance(), CrossEncoderRelevance("embedded", "sigmoid", 64, 192, "auto")
    texts = [*QUERIES, "请问" * 100], [*REPLIES, "好的" * 100]
    assert np.array_equal(plain.relevance(*texts), named.relevance(*texts))


def test_an_encoder_without_classifier_is_refused(encoder_folder: Path) -> None:
    assert isinstance(BertModel.from_pretrained(encoder_folder), BertModel)
    with pytest.raises(ModelError, match=r"relevance model .*lacks 2 weights .*classifier.*no trained .* pairs$"):
        CrossEncoderRelevance(str(encoder_folder), "softmax_1", max_tokens=48)


def test_labels_must_fit_the_activation(classifier_folder: Callable[[int], Path]) -> None:
    with pytest.raises(ModelError, match=r"has 1 label\(s\), activation softmax_1 needs 2: use .* with one$"):
        CrossEncoderRelevance(str(classifier_folder(1)), "softmax_1", max_tokens=48)


def test_arguments_out_of_range_are_refused(classifier_folder: Callable[[int], Path]) -> None:
    with pytest.raises(ConfigError, match=r"activation 'tanh' is unknown: use one of \('softmax_1', 'sigmoid'\)$"):
        CrossEncoderRelevance(str(classifier_folder(1)), "tanh")  # type: ignore[arg-type]
    folder = classifier_folder(1)
    with pytest.raises(
        ConfigError, match=rf"^judge\.relevance\.max_tokens=192 is out of range: {folder} takes 8 to 48\.$"
    ):
        CrossEncoderRelevance(str(folder))
    with pytest.raises(ConfigError, match=r"^judge\.relevance\.batch_size=0"):
        CrossEncoderRelevance(str(folder), max_tokens=48, batch_size=0)
    with pytest.raises(ValueError, match="got 1 and 2"):
        CrossEncoderRelevance(str(classifier_folder(1)), max_tokens=48).relevance(["a"], ["a", "b"])
