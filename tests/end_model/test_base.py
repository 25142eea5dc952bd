import json
import shutil

import huggingface_hub
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


@pytest.mark.parametrize(
    ("removed", "said"),
    [("config.json", "config.json"), ("model.safetensors", "weights"), ("tokenizer.json", "tokenizer")],
)
def test_a_folder_that_lacks_a_part_is_refused_by_name(folder, removed, said):
    (folder / removed).unlink()
    with pytest.raises(ModelError, match=said) as error:
        load_base(str(folder), device="cpu")
    assert str(folder) in str(error.value)


def test_missing_tensors_are_not_filled_with_random_numbers(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="down_proj"):
        load_base(str(folder), device="cpu")


def test_a_truncated_checkpoint_is_refused(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(folder), device="cpu")


def test_another_kind_of_model_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    with pytest.raises(ModelError, match="causal"):
        load_base(str(folder), device="cpu")
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "chatglm"}))
    with pytest.raises(ModelError, match="convert-chatglm3"):
        load_base(str(folder), device="cpu")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="JSON"):
        load_base(str(folder), device="cpu")


def test_a_tokenizer_of_another_model_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"extra{i}": 260 + i for i in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="do not belong together"):
        load_base(str(folder), device="cpu")


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "a/b/c", ""])
def test_a_path_without_folder_is_refused(path):
    with pytest.raises(ModelError, match="no model folder"):
        load_base(path, device="cpu")


def test_a_hub_id_offline_is_refused(monkeypatch, tmp_path):
    def refuse(*arguments, local_files_only=False, **options):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("ecc_fed.end_model.base.snapshot_download", refuse)
    with pytest.raises(ModelError, match=r"someone/model.*could not be fetched"):
        load_base("someone/model", device="cpu")


def test_unknown_devices_and_quantizations_are_refused(llama, monkeypatch):
    with pytest.raises(ConfigError, match="quantization='int3'"):
        load_base(llama, quantization="int3", device="cpu")
    with pytest.raises(ConfigError, match="device='tpu'"):
        load_base(llama, device="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU"):
        load_base(llama, device="cuda")


def test_quantized_bases_need_bitsandbytes(llama, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"ecc_fed\[quantization\]"):
        load_base(llama, quantization="nf4", device="cpu")
