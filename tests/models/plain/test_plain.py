"""Plain models are transformers' own, number for number, and leave to those whatever is not plain."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.judging.loading import EMBEDDED_FOLDER
from ecc_fed.models.plain.bert import open_classifier, open_encoder
from ecc_fed.models.plain.llama import open_llama

CPU = torch.device("cpu")
QUERIES = ["在吗", "这款有现货吗?什么时候发货呀", "<|user|> [电话1]", "How long is delivery?"]
REPLIES = ["亲,在的哦", "有的", "好的", "亲,今天下单明天发~"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_llama_has_the_same_weights_angles_and_words(dtype: torch.dtype) -> None:
    opened = open_llama(str(EMBEDDED), "end model", CPU, dtype)
    assert opened is not None and opened.missing == ()
    whole = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=dtype).eval().requires_grad_(False)
    assert opened.model.generation_config.eos_token_id == whole.generation_config.eos_token_id
    assert not any(each.requires_grad for each in opened.model.parameters())
    assert torch.equal(opened.model.get_input_embeddings().weight, whole.get_input_embeddings().weight)
    plain, base = (take_apart(model, CPU) for model in (opened.model, whole))
    for name in ("epsilon", "heads", "kv_heads", "head_dim", "interleaved", "dtype"):
        assert getattr(plain, name) == getattr(base, name)
    assert plain.embedding is plain.head.dense, "one table in memory"
    for mine, theirs in zip((*plain.angles(300), plain.norm), (*base.angles(300), base.norm), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(plain.layers, base.layers, strict=True):
        assert torch.equal(mine.attention_norm, theirs.attention_norm)
        assert torch.equal(mine.mlp_norm, theirs.mlp_norm)
        for own, other in zip(mine.stacks, theirs.stacks, strict=True):
            assert (own.d_in, own.projections, own.matrix.dtype) == (other.d_in, other.projections, other.matrix.dtype)
            assert own.matrix.dense is not None and other.matrix.dense is not None
            assert torch.equal(own.matrix.dense, other.matrix.dense) and own.matrix.bias is other.matrix.bias is None


@pytest.mark.parametrize("folder", [EMBEDDED, EMBEDDED_FOLDER / "similarity", EMBEDDED_FOLDER / "relevance"])
def test_a_tokenizer_is_the_one_that_transformers_would_choose(folder: Path) -> None:
    open_it: Callable[..., Any] = {"embedded": open_llama, "similarity": open_encoder}.get(folder.name, open_classifier)
    given = (torch.float32,) if open_it is open_llama else ()
    mine, theirs = open_it(str(folder), "model", CPU, *given).tokenizer, AutoTokenizer.from_pretrained(folder)
    assert type(mine) is type(theirs) and mine.chat_template == theirs.chat_template
    assert (mine.special_tokens_map, mine.model_max_length) == (theirs.special_tokens_map, theirs.model_max_length)
    assert dict(mine(QUERIES, REPLIES)) == dict(theirs(QUERIES, REPLIES))
    assert mine.decode(mine(QUERIES[1])["input_ids"]) == theirs.decode(theirs(QUERIES[1])["input_ids"])


@pytest.mark.parametrize("texts", [slice(0, 4), slice(1, 2)], ids=["padded", "alone"])
@torch.inference_mode()
def test_a_bert_is_the_same_to_the_last_bit(texts: slice) -> None:
    for name, open_it, auto_class in (
        ("similarity", open_encoder, AutoModel),
        ("questions", open_encoder, AutoModel),
        ("relevance", open_classifier, AutoModelForSequenceClassification),
    ):
        folder = EMBEDDED_FOLDER / name
        opened = open_it(str(folder), name, CPU)
        assert opened is not None
        whole = auto_class.from_pretrained(folder, dtype=torch.float32).eval()
        batch = opened.tokenizer(QUERIES[texts], REPLIES[texts], padding=True, return_tensors="pt")
        mine, theirs = opened.model(**batch), whole(**batch)
        key = "logits" if name == "relevance" else "last_hidden_state"
        seen = batch["attention_mask"].bool() if key == "last_hidden_state" else slice(None)
        assert torch.equal(getattr(mine, key)[seen], getattr(theirs, key)[seen])
        assert opened.missing == (("pooler.dense.bias", "pooler.dense.weight") if key == "last_hidden_state" else ())


def change(**entries: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))

    return write


def weight(name: str, tensor: torch.Tensor | None) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors.pop(name, None)
        save_file(tensors if tensor is None else {**tensors, name: tensor}, folder / "model.safetensors")

    return write


def of_its_own(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    "spoil",
    [
        change(model_type="qwen2"),
        change(architectures=["LlamaForSequenceClassification"]),
        change(tie_word_embeddings=False),
        change(attention_bias=True),
        change(mlp_bias=True),
        change(hidden_act="gelu"),
        change(rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0}),
        change(num_hidden_layers=3),
        change(num_hidden_layers=5),
        change(hidden_size="192"),
        change(rope_parameters=None),
        weight("model.norm.weight", None),
        weight("model.norm.weight", torch.zeros(191)),
        weight("model.norm.bias", torch.zeros(192)),
        of_its_own,
        no_tokenizer,
        cut,
    ],
)
def test_what_is_not_plain_is_left_to_transformers(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / "base"))
    assert open_llama(str(folder), "end model", CPU, torch.float32) is not None
    spoil(folder)
    assert open_llama(str(folder), "end model", CPU, torch.float32) is None


@pytest.mark.parametrize(
    "entries", [{"is_decoder": True}, {"hidden_act": "gelu_new"}, {"position_embedding_type": "relative_key"}]
)
def test_another_bert_is_left_to_transformers(tmp_path: Path, entries: dict[str, Any]) -> None:
    folder = Path(shutil.copytree(EMBEDDED_FOLDER / "similarity", tmp_path / "judge"))
    change(**entries)(folder)
    assert open_encoder(str(folder), "judge", CPU) is None


def test_a_classifier_needs_its_pooler(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED_FOLDER / "relevance", tmp_path / "judge"))
    weight("bert.pooler.dense.bias", None)(folder)
    assert open_classifier(str(folder), "judge", CPU) is None


def test_a_folder_that_is_no_model_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        open_llama(str(tmp_path), "end model", CPU, torch.float32)
    assert open_llama("name/model", "end model", CPU, torch.float32) is None
