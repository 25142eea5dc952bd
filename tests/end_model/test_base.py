import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.end_model.base import load_base


@pytest.fixture
def folder(llama, tmp_path):
    copy = tmp_path / "base"
    shutil.copytree(llama, copy)
    return copy


def test_a_base_is_frozen_and_knows_its_end_marks(llama):
    base = load_base(llama, device="cpu")
    assert base.end_ids == {1}
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.float32}


def test_bf16_halves_the_base(llama):
    base = load_base(llama, quantization="bf16", device="cpu")
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.bfloat16}


def test_missing_tensors_are_not_filled_with_random_numbers(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"the end model .*base lacks 1 weights .*down_proj"):
        load_base(str(folder), device="cpu")


def test_a_tokenizer_of_another_model_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"extra{i}": 260 + i for i in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="do not belong together"):
        load_base(str(folder), device="cpu")


def test_a_model_without_layers_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": -1}))
    with pytest.raises(ModelError, match=r"^the end model .*base has -1 layers by its config.json: copy"):
        load_base(str(folder), device="cpu")


def test_unknown_devices_and_quantizations_are_refused(llama, monkeypatch):
    with pytest.raises(ConfigError, match="quantization='int3'"):
        load_base(llama, quantization="int3", device="cpu")
    with pytest.raises(ConfigError, match="device='tpu' of the end model"):
        load_base(llama, device="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU"):
        load_base(llama, device="cuda")


def test_quantized_bases_need_bitsandbytes(llama, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"ecc_fed\[quantization\]"):
        load_base(llama, quantization="nf4", device="cpu")
