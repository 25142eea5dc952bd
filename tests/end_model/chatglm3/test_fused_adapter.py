"""An adapter of the original's fused projection imports exactly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.chatglm3.fused_adapter import import_fused_adapter, split_fused_adapter

from . import original
from .conftest import Converted

RANK, LORA_ALPHA = 3, 12
QUERY_ROWS, KEY_VALUE_ROWS = 4 * 16, 2 * 16


def fused_state(layers: int = 3, suffix: str = "") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    state = {}
    for layer in range(layers):
        module = f"base_model.model.transformer.encoder.layers.{layer}.self_attention.query_key_value"
        state[f"{module}.lora_A{suffix}.weight"] = 0.1 * torch.randn(RANK, 32, generator=generator)
        state[f"{module}.lora_B{suffix}.weight"] = 0.1 * torch.randn(
            QUERY_ROWS + 2 * KEY_VALUE_ROWS, RANK, generator=generator
        )
    return state


def write_adapter(folder: Path, state: dict[str, Tensor], kind: str = "safetensors", **changes: Any) -> Path:
    folder.mkdir(parents=True)
    config = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": LORA_ALPHA,
        "lora_dropout": 0.1,
        "bias": "none",
        "target_modules": ["query_key_value"],
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    if kind == "safetensors":
        save_file(state, folder / "adapter_model.safetensors")
    else:
        torch.save(state, folder / "adapter_model.bin")
    return folder


def test_a_is_copied_and_b_is_cut() -> None:
    state = {name: tensor.numpy() for name, tensor in fused_state().items()}
    native = split_fused_adapter(state, QUERY_ROWS, KEY_VALUE_ROWS)
    assert len(native) == 3 * 6
    for layer in range(3):
        fused = f"base_model.model.transformer.encoder.layers.{layer}.self_attention.query_key_value"
        parts = [f"base_model.model.model.layers.{layer}.self_attn.{letter}_proj" for letter in "qkv"]
        for part in parts:
            assert np.array_equal(native[f"{part}.lora_A.weight"], state[f"{fused}.lora_A.weight"])
        rows = np.concatenate([native[f"{part}.lora_B.weight"] for part in parts])
        assert np.array_equal(rows, state[f"{fused}.lora_B.weight"])


@torch.no_grad()
@pytest.mark.parametrize(("kind", "suffix"), [("safetensors", ""), ("bin", ".default")])
def test_the_adapted_model_equals_the_original(tmp_path: Path, converted: Converted, kind: str, suffix: str) -> None:
    state = fused_state(suffix=suffix)
    source = write_adapter(tmp_path / "fused", state, kind)
    native, settings = import_fused_adapter(source, converted.folder)
    assert (settings.rank, settings.scale) == (RANK, LORA_ALPHA / RANK)
    save_adapter(tmp_path / "native", native, settings, str(converted.folder))
    base = AutoModelForCausalLM.from_pretrained(converted.folder)
    adapted = PeftModel.from_pretrained(base, tmp_path / "native").eval()

    weights = dict(converted.weights)
    for layer in range(3):
        name = f"transformer.encoder.layers.{layer}.self_attention.query_key_value"
        side_a, side_b = (state[f"base_model.model.{name}.lora_{side}{suffix}.weight"] for side in "AB")
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + LORA_ALPHA / RANK * side_b @ side_a
    ids = torch.randint(3, 1000, (2, 30), generator=torch.manual_seed(2))
    wanted = original.forward(weights, converted.config, ids)
    torch.testing.assert_close(adapted(ids).logits, wanted, atol=1e-5, rtol=0)
    assert (wanted - original.forward(converted.weights, converted.config, ids)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("changes", "layers", "message"),
    [
        ({"target_modules": ["query_key_value", "dense"]}, 3, "wanted LORA of query_key_value alone"),
        ({"peft_type": "PREFIX_TUNING"}, 3, "PREFIX_TUNING adapter"),
        ({"use_dora": True}, 3, "no plain LoRA adapter .use_dora"),
        ({"bias": "all"}, 3, "it trains biases"),
        ({"r": 4}, 3, "layer 0 has A"),
        ({}, 2, "no adapter for layer 2, but the base has 3 layers"),
        ({}, 4, "adapts more layers than the base's 3"),
    ],
)
def test_what_is_no_plain_fused_adapter_is_refused(
    tmp_path: Path, converted: Converted, changes: dict[str, Any], layers: int, message: str
) -> None:
    source = write_adapter(tmp_path / "fused", fused_state(layers), **changes)
    with pytest.raises(ModelError, match=message):
        import_fused_adapter(source, converted.folder)


def test_files_that_are_broken_or_missing_are_named(tmp_path: Path, converted: Converted) -> None:
    source = write_adapter(tmp_path / "fused", fused_state())
    (source / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="is broken"):
        import_fused_adapter(source, converted.folder)
    (source / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no adapter_model"):
        import_fused_adapter(source, converted.folder)
    with pytest.raises(ModelError, match="is no converted ChatGLM3"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "config.json").write_text("{}")
        import_fused_adapter(source, tmp_path / "other")
    with pytest.raises(ModelError, match="cannot be read"):
        import_fused_adapter(tmp_path / "nowhere", converted.folder)
    with pytest.raises(ModelError, match=r"has 100 rows, but .* have 128"):
        split_fused_adapter({next(iter(list(fused_state())[1:])): np.zeros((100, 3), np.float32)}, 64, 32)
    with pytest.raises(ModelError, match="is no LoRA tensor of query_key_value"):
        split_fused_adapter({"a": np.zeros((1, 1), np.float32)}, 64, 32)
