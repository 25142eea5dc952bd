"""A converted file against the model that it was written from, which no reader of GGUF files has touched."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecc_fed.core.errors import ModelError
from ecc_fed.models.folder import find_folder
from tests.models.gguf.tiny_gguf import NAMES, TinyFile, build_tokenizer

TEXTS = ["hello  hello 12 1 in 2024", "亲，在吗？\n\nhello:\n", "caf\u0065\u0301 le: le", "12 12  12", " 1"]


def converted(file: Path) -> tuple[Path, Any, Any]:
    folder = find_folder(str(file), "end model")
    return folder, AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
def test_logits_and_replies_are_those_of_the_source(cache: Path, tmp_path: Path, family: str, kind: str) -> None:
    file = tmp_path / "tiny.gguf"
    source = TinyFile(family, kind).write(file)
    folder, model, tokenizer = converted(file)
    assert folder.parent == cache
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.inference_mode():
        assert torch.equal(model.float()(ids).logits, source(ids).logits)
        told = {"do_sample": False, "max_new_tokens": 16, "attention_mask": torch.ones_like(ids)}
        assert torch.equal(model.generate(ids, **told), source.generate(ids, **told))
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == NAMES.index("<|im_end|>")
    assert model.config.bos_token_id is None


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_of_its_own_stays_one(cache: Path, tmp_path: Path, tied: bool) -> None:
    TinyFile("qwen2", "Q8_0", tied=tied).write(tmp_path / "tiny.gguf")
    folder, model, _ = converted(tmp_path / "tiny.gguf")
    assert (model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()) is tied
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is tied


@pytest.mark.parametrize(
    ("family", "split"), [("qwen2", "qwen2"), ("llama", "qwen2"), ("llama", "smollm"), ("llama", "gpt-2")]
)
def test_texts_become_the_same_ids(cache: Path, tmp_path: Path, family: str, split: str) -> None:
    TinyFile(family, split=split).write(tmp_path / "tiny.gguf")
    own, found = build_tokenizer(split), converted(tmp_path / "tiny.gguf")[2]
    for text in TEXTS:
        assert found.encode(text) == own.encode(text), text
        assert found.decode(found.encode(text)) == own.decode(own.encode(text))
    chat = [{"role": "user", "content": TEXTS[0]}]
    told = {"add_generation_prompt": True, "return_dict": False}
    assert found.apply_chat_template(chat, **told) == own.apply_chat_template(chat, **told)
    assert found.special_tokens_map.items() >= {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}.items()


def test_llama_3_takes_a_whole_piece_before_its_merges(cache: Path, tmp_path: Path) -> None:
    """Its vocabulary has pieces that no merges lead to: here `hello`, of which `hel` and `lo` are told."""
    found = {}
    for split in ("gpt-2", "llama-bpe"):
        file = TinyFile("llama", settings={"tokenizer.ggml.pre": split, "general.name": split})
        pieces = build_tokenizer().convert_ids_to_tokens(range(len(build_tokenizer())))
        file.settings["tokenizer.ggml.tokens"] = ["hello", *pieces[1:]]
        file.write(tmp_path / "tiny.gguf")
        found[split] = converted(tmp_path / "tiny.gguf")[2].tokenize("hello")
    assert found == {"gpt-2": ["hel", "l", "o"], "llama-bpe": ["hello"]}


def test_rules_differ_where_the_tests_look() -> None:
    rules = [build_tokenizer(split) for split in ("qwen2", "smollm", "gpt-2")]
    assert len({tuple(tuple(rule.encode(text)) for text in TEXTS) for rule in rules}) == 3


def test_nothing_says_where_the_file_lay_or_that_it_was_quantized(cache: Path, tmp_path: Path) -> None:
    TinyFile("llama", "Q8_0", settings={"general.name": "Somebody's"}).write(tmp_path / "tiny.gguf")
    folder = converted(tmp_path / "tiny.gguf")[0]
    written = "".join(path.read_text() for path in folder.glob("*.json"))
    assert "quantization_config" not in written and "Somebody" not in written
    assert str(tmp_path) not in written and "vocab_file" not in written


def test_what_lies_beside_the_file_is_not_taken_for_a_part_of_it(cache: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "adapter_config.json"):
        (tmp_path / name).write_text('{"model_type": "vit", "tokenizer_class": "BertTokenizer"}')
    source = TinyFile("llama").write(tmp_path / "tiny.gguf")
    ids = torch.arange(3, 20).unsqueeze(0)
    assert torch.equal(converted(tmp_path / "tiny.gguf")[1].float()(ids).logits, source(ids).logits)


def test_a_missing_tensor_is_not_filled_with_random_numbers(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    TinyFile("qwen2").write(file)
    content = file.read_bytes()
    # As if one weight were another's twin: its name is gone.
    file.write_bytes(content.replace(b"blk.1.ffn_up.weight", b"blk.0.ffn_up.weight"))
    with pytest.raises(ModelError, match=rf"^the end model {file} .*: download"):
        find_folder(str(file), "end model")
    assert not [path for path in cache.iterdir() if path.is_dir()]
