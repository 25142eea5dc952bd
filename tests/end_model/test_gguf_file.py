"""A written file against the merged model, by readers that are not the writer: transformers' and the project's own."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.gguf_file import plan_file, write
from ecc_fed.models.folder import find_folder
from ecc_fed.models.gguf.families import FAMILIES
from ecc_fed.models.gguf.header import read_header
from tests.end_model.exported import TEXTS, byte_tokenizer, export, piece_tokenizer, save_base
from tests.models.chat_tokenizers import CHATML
from tests.models.gguf.tiny_gguf import build_model, build_tokenizer

FAMILY_NAMES = ["llama", "qwen2", "qwen3", "gemma3"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@torch.inference_mode()
def logits(model: Any) -> Any:
    return model.eval()(torch.arange(3, 60).unsqueeze(0)).logits[0]


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_both_readers_find_the_merged_model(family: str, tmp_path: Path) -> None:
    done = export(save_base(tmp_path / "base", family), tmp_path)
    read, weights = done.read(), dict(done.merged.model.named_parameters())
    own = dict(AutoModelForCausalLM.from_pretrained(find_folder(str(done.file), "end model")).named_parameters())
    found = dict(read.named_parameters())
    assert found.keys() == weights.keys() == own.keys()
    for name, weight in weights.items():
        # Gemma's norms are stored with one added, which rounds.
        shifted = family == "gemma3" and "norm" in name
        torch.testing.assert_close(found[name], weight, rtol=0, atol=2e-7 if shifted else 0)
        torch.testing.assert_close(own[name], weight.bfloat16(), rtol=0, atol=0.01 if shifted else 0)
    torch.testing.assert_close(logits(read), logits(done.merged.model), rtol=0, atol=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(done.base, dtype=torch.float32)
    assert (logits(plain) - logits(done.merged.model)).abs().max() > 0.1, "the adapter does something"


@pytest.mark.parametrize(("outtype", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_shorter_types_round_matrices_and_leave_vectors(outtype: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    done = export(save_base(tmp_path / "base", "qwen2"), tmp_path, outtype)
    found = dict(done.read().named_parameters())
    for name, weight in done.merged.model.named_parameters():
        assert torch.equal(found[name], weight.to(dtype).float() if weight.ndim > 1 else weight), name
    kinds = {tensor.kind for tensor in read_header(done.file, "end model").tensors}
    assert kinds == {0, {"f16": 1, "bf16": 30}[outtype]}


def test_a_head_of_its_own_is_written_and_a_tied_one_is_not(tmp_path: Path) -> None:
    for family, tied in (("llama", False), ("qwen2", True)):
        base = save_base(tmp_path / family, family)
        model = build_model(family, tied=tied)
        model.save_pretrained(base)
        done = export(base, tmp_path / f"{family}-out")
        names = {tensor.name for tensor in read_header(done.file, "end model").tensors}
        assert ("output.weight" in names) is not tied
        assert done.read().config.tie_word_embeddings is tied


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_settings_stand_in_the_usual_order_and_are_those_that_are_read(family: str, tmp_path: Path) -> None:
    done = export(save_base(tmp_path / "base", family), tmp_path, "f16")
    settings = read_header(done.file, "end model").settings
    names = list(settings)
    groups = [name.partition(".")[0] for name in names]
    assert sorted(groups, key=["general", family, "tokenizer"].index) == groups
    assert names[0] == "general.architecture" and settings["general.type"] == "model"
    assert settings["general.name"] == "a shop" and settings["general.file_type"] == 1
    own = {name.removeprefix(f"{family}.") for name in names if name.startswith(f"{family}.")}
    assert own <= FAMILIES[family].settings
    config = done.merged.model.config
    assert settings[f"{family}.attention.key_length"] == (32 if family in ("qwen3", "gemma3") else 16)
    assert settings[f"{family}.rope.freq_base"] == 5000.0
    assert settings[f"{family}.vocab_size"] == config.vocab_size == settings["tokenizer.ggml.tokens"]
    assert len(settings["tokenizer.ggml.token_type"]) == config.vocab_size
    ends = {"tokenizer.ggml.eos_token_id": 5, "tokenizer.ggml.padding_token_id": 3}
    assert settings.items() >= ends.items() and settings["tokenizer.ggml.add_bos_token"] is False


@pytest.mark.parametrize("split", ["gpt-2", "smollm", "qwen2", "llama-bpe"])
def test_bytes_become_the_same_ids(split: str, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(split)
    done = export(save_base(tmp_path / "base", "llama", tokenizer), tmp_path)
    assert read_header(done.file, "end model").settings["tokenizer.ggml.pre"] == split
    readers = [AutoTokenizer.from_pretrained(find_folder(str(done.file), "end model"))]
    if split != "smollm":  # of which transformers' reader knows nothing
        readers.append(AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf"))
    for read in readers:
        assert read.get_vocab() == tokenizer.get_vocab()
        for text in TEXTS:
            assert read.encode(text) == tokenizer.encode(text), text
        chat = [{"role": "user", "content": TEXTS[0]}]
        told: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
        assert read.apply_chat_template(chat, **told) == tokenizer.apply_chat_template(chat, **told)


@pytest.mark.parametrize(("family", "blanks"), [("gemma3", "replaced"), ("llama", "prefix"), ("llama", "kept")])
def test_pieces_become_the_same_ids(family: str, blanks: str, tmp_path: Path) -> None:
    tokenizer = piece_tokenizer(blanks)
    done = export(save_base(tmp_path / "base", family, tokenizer), tmp_path)
    assert read_header(done.file, "end model").settings["tokenizer.ggml.add_space_prefix"] is (blanks == "prefix")
    readers = [AutoTokenizer.from_pretrained(find_folder(str(done.file), "end model"))]
    if family == "gemma3":  # transformers' reader puts a blank before the first word of any other
        readers.append(AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf"))
    for read in readers:
        for text in TEXTS:
            assert read.encode(text) == tokenizer.encode(text), text
            assert read.decode(read.encode(text)) == tokenizer.decode(tokenizer.encode(text))


def test_the_embedded_model_goes_out_and_in_again(tmp_path: Path) -> None:
    done = export(EMBEDDED, tmp_path, "f16")
    usual, found = load_base(str(EMBEDDED), device="cpu"), load_base(str(done.file), device="cpu")
    assert len(found.tokenizer) == len(usual.tokenizer) and found.end_ids == usual.end_ids
    for text in [*TEXTS, "亲，这款抱枕59.9元哦~ 满100减5", "<|user|>ok<|end|>"]:
        assert found.tokenizer.encode(text) == usual.tokenizer.encode(text), text
        assert found.tokenizer.decode(found.tokenizer.encode(text)) == usual.tokenizer.decode(
            usual.tokenizer.encode(text)
        )
    torch.testing.assert_close(logits(found.model.float()), logits(done.merged.model), rtol=0.02, atol=0.2)


def test_rows_without_a_token_get_a_name(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "qwen2")
    model = build_model("qwen2")
    model.resize_token_embeddings(model.config.vocab_size + 3)
    model.save_pretrained(base)
    tokenizer = build_tokenizer()
    taken = f"[PAD{len(tokenizer) + 1}]"
    tokenizer.add_tokens([taken])
    tokenizer.save_pretrained(base)
    plan = plan_file(str(base), "f32", tmp_path)
    rows = len(tokenizer) - 1
    assert plan.vocabulary.tokens[rows:] == [taken, f"[{taken}]", f"[PAD{rows + 2}]"]
    assert list(plan.vocabulary.types[rows - 1 :]) == [1, 4, 5, 5]


def test_a_template_is_told_what_chats_were_rendered_with(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "qwen2")
    assert plan_file(str(base), "f32", tmp_path).template == CHATML
    tokenizer = build_tokenizer()
    asks = "{{ bos_token }}{% if enable_thinking is defined and not enable_thinking %}n{% endif %}" + CHATML
    tokenizer.chat_template = asks
    tokenizer.save_pretrained(base)
    template = plan_file(str(base), "f32", tmp_path).template
    assert template == "{% set enable_thinking = false %}{% set bos_token = '' %}" + asks
    (base / "chat_template.jinja").unlink()
    assert "客服：" in plan_file(str(base), "f32", tmp_path).template


def refused(base: Path, said: str, room: Path) -> None:
    before = sorted(room.rglob("*"))
    with pytest.raises(ModelError, match=rf"^the end model {base} cannot be written as GGUF: {said}") as found:
        plan_file(str(base), "f16", room)
    assert "\n" not in str(found.value) and str(found.value).endswith("export it with --to merged")
    assert sorted(room.rglob("*")) == before


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("llama", {"mlp_bias": True}, "its mlp_bias is True, and a file of llama stands for False"),
        ("llama", {"hidden_act": "gelu"}, "its hidden_act is gelu"),
        ("llama", {"attention_bias": True}, "its attention_bias is True"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
            "its rotary positions are scaled",
        ),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}, "its use_sliding_window is True"),
        ("gemma3", {"query_pre_attn_scalar": 64}, "its query_pre_attn_scalar is 64, and a file stands for 32"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "its final_logit_softcapping is 30.0"),
        ("gemma3", {"layer_types": ["full_attention"] * 7}, "not every 6th of its layers"),
        (
            "gemma3",
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "default", "rope_theta": 1e6},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
                }
            },
            "its windows' rope_theta is 20000, and a file stands for 10000",
        ),
        (
            "qwen2",
            {"model_type": "olmo2"},
            "it is of the family olmo2, and those written are llama, qwen2, qwen3, gemma3_text",
        ),
    ],
)
def test_a_config_that_a_file_cannot_state_is_refused(
    family: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    base = save_base(tmp_path / "base", family)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, **changes}))
    refused(base, said, tmp_path)


def test_a_weight_that_f16_cannot_hold_is_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "qwen2")
    model = build_model("qwen2")
    model.model.embed_tokens.weight.data[7, 7] = 7e4
    model.save_pretrained(base)
    with pytest.raises(ModelError, match=r"embed_tokens.weight has the weight 70000, and f16 ends .*--outtype bf16"):
        export(base, tmp_path, "f16")
    export(base, tmp_path, "bf16")


def test_weights_that_the_config_does_not_describe_are_refused(tmp_path: Path) -> None:
    llama, qwen = (save_base(tmp_path / family, family) for family in ("llama", "qwen2"))
    plan = plan_file(str(qwen), "f32", tmp_path)
    with pytest.raises(ModelError, match="merged, it has other weights than its config says: export it with --to peft"):
        write(plan, load_base(str(llama), device="cpu"), "a shop", tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_a_chat_that_ends_turns_without_a_token_is_refused(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} ###\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    base = save_base(tmp_path / "base", "llama", tokenizer)
    refused(base, r"its chats' turns end with ' ###', which is no token", tmp_path)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecc_fed.models.gguf.writing.file.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'the package gguf must be installed: pip install "ecc_fed\[gguf\]"$'):
        plan_file(str(tmp_path), "f16", tmp_path)


def test_a_disk_without_room_is_told_before_anything_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = save_base(tmp_path / "base", "qwen2")
    free = shutil.disk_usage(tmp_path)._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda root: free)
    with pytest.raises(OSError, match=r"it takes 0\.00 GiB, and 0\.00 GiB are free"):
        plan_file(str(base), "f16", tmp_path / "not" / "there")


def test_a_disk_that_takes_a_part_of_a_tensor_is_a_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: Any, array: Any) -> None:
        raise OSError(f"{array.size} requested and 3 written")

    base = save_base(tmp_path / "base", "qwen2")
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", short)
    with pytest.raises(OSError, match=r"the disk took a part of a tensor: \d+ requested and 3 written") as found:
        export(base, tmp_path)
    assert found.value.errno == errno.ENOSPC


def test_more_ends_than_a_file_names_are_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "qwen2")
    told = json.loads((base / "generation_config.json").read_text())
    for ends, fine in (([3, 4, 5], True), ([2, 3, 4, 5], False)):
        (base / "generation_config.json").write_text(json.dumps({**told, "eos_token_id": ends}))
        if fine:
            settings = read_header(export(base, tmp_path).file, "end model").settings
            assert [settings[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")] == [5, 3, 4]
        else:
            with pytest.raises(ModelError, match="its replies end by 4 tokens, and a file names 3"):
                export(base, tmp_path)
