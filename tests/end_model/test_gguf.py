"""A GGUF file as a base: both engines answer as the model that it was written from."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import Decoding, ReplyRequest, Turn
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.engines.reference.shapes import adapter_shapes
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt
from ecc_fed.models.folder import find_folder
from tests.end_model.opening import peft_engine, shared_engine
from tests.models.gguf.tiny_gguf import TinyFile, build_tokenizer

PROMPTS = ((Turn("customer", "hello 12"),), (Turn("customer", "在吗"), Turn("agent", "在"), Turn("customer", "le:")))
GREEDY = Decoding(max_new_tokens=12, sample=False)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "tiny.gguf"


@pytest.mark.parametrize(
    ("family", "kind"), [("llama", "Q8_0"), ("qwen2", "F16"), ("qwen3", "Q8_0"), ("gemma3", "Q8_0")]
)
def test_replies_are_what_the_source_generates(file: Path, family: str, kind: str) -> None:
    source, tokenizer = TinyFile(family, kind).write(file), build_tokenizer()
    expected = []
    for prompt in PROMPTS:
        ids = torch.tensor([encode_prompt(tokenizer, prompt, 256)])
        with torch.inference_mode():
            found = source.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
        expected.append(decode_reply(tokenizer, found[0, ids.shape[1] :].tolist()))
    assert len(set(expected)) == 2 and all(expected)
    for engine in (peft_engine(str(file)), shared_engine(str(file))):
        assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])[0] == expected


def test_the_setting_sha256_holds_the_engine_to_one_file(file: Path) -> None:
    TinyFile("qwen2").write(file)
    settings = {"path": str(file), "device": "cpu", "quantization": "bf16"}
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    engine = open_engine(EndModelSettings(**settings, sha256=right), Lora(2, lora_dropout=0.0))
    assert isinstance(engine, SharedEngine) and engine.fallback_reason is None
    with pytest.raises(ModelError, match=r"has the SHA-256 .* and not f+: take the file that was meant, or set end_m"):
        open_engine(EndModelSettings(**settings, sha256="f" * 64), Lora(2))


def test_a_file_without_a_chat_template_is_talked_to_in_the_plain_format(file: Path) -> None:
    TinyFile("qwen2", without=("tokenizer.chat_template",)).write(file)
    base = load_base(str(file), device="cpu")
    prompt = encode_prompt(base.tokenizer, PROMPTS[0], 256)
    assert base.tokenizer.decode(prompt) == "客户：hello 12\n客服："


def test_adapters_name_the_folder_that_peft_can_open(file: Path, tmp_path: Path) -> None:
    TinyFile("qwen2").write(file)
    engine = peft_engine(str(file), Lora(2))
    adapter = engine.new_adapter(0)
    save_adapter(tmp_path / "adapter", adapter, Lora(2), str(file))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(find_folder(str(file), "end model"))
    assert list(adapter_shapes(str(file), Lora(2)).items()) == [(name, each.shape) for name, each in adapter.items()]
