import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertModel

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.judging.similarity import EncoderSimilarity, Pooling, cosine_to_similarity, pool

TEXTS = ["亲您好", "请问发什么快递", "发中通快递哦", "价格是 12 元", "好", "价格是多少钱呢请问您好"]


def _load(folder: Path, pooling: Pooling, **arguments: Any) -> EncoderSimilarity:
    return EncoderSimilarity(str(folder), pooling, **{"max_tokens": 48, **arguments})


def _by_hand(folder: Path, text: str, pooling: str) -> np.ndarray:
    """One text alone, no padding, formula written out."""
    model = BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        output = model(ids)
    states = output.last_hidden_state[0].numpy()
    weight, bias = model.pooler.dense.weight.detach().numpy(), model.pooler.dense.bias.detach().numpy()
    vector = {
        "cls": states[0],
        "mean": states.mean(0),
        "cls_dense": weight @ states[0] + bias,
        "pooler_tanh": output.pooler_output[0].numpy(),
    }[pooling]
    return vector / np.sqrt((vector**2).sum())


@pytest.mark.parametrize("pooling", ["cls_dense", "cls", "mean", "pooler_tanh"])
def test_pooling_equals_the_formula_by_hand(encoder_folder: Path, pooling: Pooling) -> None:
    vectors = _load(encoder_folder, pooling, batch_size=4).encode(TEXTS)
    expected = np.stack([_by_hand(encoder_folder, text, pooling) for text in TEXTS])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=2e-6)
    np.testing.assert_allclose((vectors**2).sum(1), 1.0, atol=1e-5)


def test_the_mean_is_over_the_text_and_not_over_its_padding() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]], [[5.0, 7.0], [99.0, 99.0], [99.0, 99.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert pool(hidden, mask, "mean", None).tolist() == [[2.0, 4.0], [5.0, 7.0]]
    assert pool(hidden, torch.zeros(2, 3, dtype=torch.int64), "mean", None).tolist() == [[0.0, 0.0]] * 2
    assert pool(hidden, mask, "cls", None).tolist() == [[1.0, 2.0], [5.0, 7.0]]


@pytest.mark.parametrize("pooling", ["cls_dense", "mean"])
def test_a_vector_does_not_depend_on_its_batch(encoder_folder: Path, pooling: Pooling) -> None:
    model = _load(encoder_folder, pooling, batch_size=6)
    together = model.encode(TEXTS)
    np.testing.assert_allclose(together, np.concatenate([model.encode([text]) for text in TEXTS]), atol=2e-6)
    np.testing.assert_allclose(together[::-1], model.encode(TEXTS[::-1]), atol=2e-6)
    assert np.array_equal(together, model.encode(TEXTS))  # and the same call repeats bit by bit
    assert np.array_equal(model.encode([*TEXTS, *TEXTS])[: len(TEXTS)], together)  # equal texts are encoded once


def test_similarity_is_the_mapped_cosine(encoder_folder: Path) -> None:
    model = _load(encoder_folder, "cls", cosine_low=-1.0, cosine_high=1.0)
    left, right = model.encode(TEXTS[:3]), model.encode(TEXTS[3:])
    np.testing.assert_allclose(model.similarity(TEXTS[:3], TEXTS[3:]), ((left * right).sum(1) + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(model.similarity(TEXTS, TEXTS), 1.0, atol=1e-6)
    assert model.similarity([], []).shape == (0,)
    assert model.encode([]).shape == (0, 16)


def test_cosine_range_clips_at_both_ends() -> None:
    cosine = np.array([-0.2, 0.2, 0.5, 0.8, 1.0], dtype=np.float32)
    mapped = cosine_to_similarity(cosine, 0.2, 0.8)
    np.testing.assert_allclose(mapped, [0, 0, 0.5, 1, 1], atol=1e-6)
    assert cosine_to_similarity(cosine.astype(np.float64), 0.2, 0.8).dtype == mapped.dtype == np.float32


def test_long_texts_are_cut_at_the_end(encoder_folder: Path) -> None:
    model = _load(encoder_folder, "mean", max_tokens=8)
    assert np.array_equal(model.encode(["亲您好请问发" + "价" * 40]), model.encode(["亲您好请问发元元"]))


def test_unequal_lengths_are_refused(encoder_folder: Path) -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        _load(encoder_folder, "cls").similarity(["a", "b"], ["a"])


def test_missing_pooler_is_named_and_mean_still_works(encoder_folder: Path) -> None:
    model = AutoModel.from_pretrained(encoder_folder, add_pooling_layer=False)
    model.save_pretrained(encoder_folder)
    with pytest.raises(ModelError, match=r"similarity model .*lacks 2 weights.*pooler.*set pooling to cls or mean"):
        _load(encoder_folder, "cls_dense")
    assert _load(encoder_folder, "mean").encode(["亲"]).shape == (1, 16)


def test_a_broken_folder_is_refused_by_name(encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the similarity model '.*nowhere' is no folder"):
        EncoderSimilarity(str(tmp_path / "nowhere"))
    tokenizer = json.loads((encoder_folder / "tokenizer_config.json").read_text())
    tokenizer.pop("pad_token")
    (encoder_folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"the similarity model .* without padding token: set pad_token"):
        EncoderSimilarity(str(encoder_folder))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"pooling": "max"},
            r"^judge similarity pooling 'max' is unknown: use one of \('cls_dense', 'cls', 'mean', 'pool",
        ),
        (
            {"cosine_low": 0.9, "cosine_high": 0.2},
            r"^judge similarity cosine range \(0.9, 0.2\) is empty or outside -1..1: give cosine_low < cosine_high$",
        ),
        ({"cosine_low": 0.5, "cosine_high": 0.5}, r"cosine range \(0.5, 0.5\) is empty"),
        ({"cosine_low": -1.1}, r"cosine range \(-1.1, 1.0\) is empty or outside"),
        ({"cosine_high": 1.1}, r"cosine range \(0.0, 1.1\) is empty or outside"),
        ({"batch_size": 0}, r"judge\.similarity\.batch_size=0 is out of range"),
        ({"max_tokens": 49}, "max_tokens=49 is out of range: .* takes 8 to 48"),
        ({"device": "gpu0"}, "device='gpu0' of the similarity model is unknown"),
    ],
)
def test_arguments_out_of_range_are_refused(encoder_folder: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncoderSimilarity(str(encoder_folder), **{"max_tokens": 48, **arguments})
