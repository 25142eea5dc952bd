"""Imports a LoRA adapter trained on the original, fused `query_key_value` projection.

The fused update is B A with A (rank, d_in) and B (query + key + value rows, rank). Its query rows
are B[:query] A, and so on: three native adapters with the same A and the rows of B, and the same
scale lora_alpha / rank. Nothing is approximated.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import AdapterState, Array
from ecc_fed.end_model.adapters.settings import LoraSettings

_FUSED = re.compile(
    r"base_model\.model\.transformer\.encoder\.layers\.(\d+)\.self_attention\.query_key_value"
    r"\.lora_([AB])(?:\.default)?\.weight"
)
_TARGETS = ("q_proj", "k_proj", "v_proj")


def split_fused_adapter(state: Mapping[str, Array], query_rows: int, key_value_rows: int) -> AdapterState:
    """The native adapter of a fused one: A copied three times, B cut into its rows.

    Raises:
        ModelError: a tensor that is no fused `query_key_value` pair, or of the wrong shape.
    """
    rows = (query_rows, key_value_rows, key_value_rows)
    cuts = np.cumsum(rows)[:-1]
    native: dict[str, Array] = {}
    for name, array in state.items():
        match = _FUSED.fullmatch(name)
        if match is None:
            raise ModelError(f"{name} is no LoRA tensor of query_key_value; only adapters of that module are imported")
        layer, side = match.groups()
        if side == "B" and array.shape[0] != sum(rows):
            raise ModelError(f"{name} has {array.shape[0]} rows, but the base's query, key and value have {sum(rows)}")
        parts = [array] * 3 if side == "A" else np.split(array, cuts)
        for target, part in zip(_TARGETS, parts, strict=True):
            key = f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_{side}.weight"
            native[key] = np.array(part, np.float32)
    return native


def import_fused_adapter(source: Path, base: Path) -> tuple[AdapterState, LoraSettings]:
    """Reads a peft folder of an original adapter for the converted model in `base`.

    Raises:
        ModelError: files are missing or broken, it is no plain LoRA adapter of `query_key_value`
            alone, or it belongs to a model of another size.
    """
    source, base = Path(source), Path(base)
    config = _load_json(source / "adapter_config.json")
    modules = config.get("target_modules")
    if config.get("peft_type") != "LORA" or modules not in (["query_key_value"], "query_key_value"):
        raise ModelError(
            f"{source} is a {config.get('peft_type')} adapter of {modules}, wanted LORA of query_key_value alone; "
            "train that one again on the converted model"
        )
    special = [name for name in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if config.get(name)]
    if config.get("bias", "none") != "none" or special:
        raise ModelError(f"{source} is no plain LoRA adapter ({', '.join(special) or 'it trains biases'})")
    native = _load_json(base / "config.json")
    if native.get("model_type") != "glm":
        raise ModelError(f"{base} is no converted ChatGLM3 (model_type={native.get('model_type')!r}); convert it first")
    head_dim = native["head_dim"]
    query_rows, key_value_rows = native["num_attention_heads"] * head_dim, native["num_key_value_heads"] * head_dim
    state = split_fused_adapter(_load_tensors(source), query_rows, key_value_rows)
    _check_complete(source, state, native["num_hidden_layers"], (config["r"], native["hidden_size"]))
    settings = LoraSettings.of(config["r"], config["lora_alpha"], config.get("lora_dropout", 0.0), _TARGETS)
    return state, settings


def _check_complete(source: Path, state: AdapterState, layers: int, shape: tuple[int, int]) -> None:
    for layer in range(layers):
        for target in _TARGETS:
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            side_a, side_b = state.get(f"{prefix}.lora_A.weight"), state.get(f"{prefix}.lora_B.weight")
            if side_a is None or side_b is None:
                raise ModelError(f"{source} has no adapter for layer {layer}, but the base has {layers} layers")
            if side_a.shape != shape or side_b.shape[1] != shape[0]:
                raise ModelError(
                    f"{source}: layer {layer} has A {side_a.shape}, wanted {shape}; it is for another base"
                )
    if len(state) != 6 * layers:
        raise ModelError(f"{source} adapts more layers than the base's {layers}; it is for another base")


def _load_tensors(source: Path) -> dict[str, Array]:
    safe, pickled = source / "adapter_model.safetensors", source / "adapter_model.bin"
    try:
        if safe.is_file():
            tensors = load_file(safe)
        elif pickled.is_file():
            tensors = torch.load(pickled, map_location="cpu", weights_only=True)
        else:
            raise ModelError(f"{source} has no adapter_model.safetensors and no adapter_model.bin")
        return {name: tensor.float().numpy() for name, tensor in tensors.items()}
    except (OSError, RuntimeError, ValueError, EOFError, AttributeError, SafetensorError, pickle.PickleError) as error:
        raise ModelError(f"the adapter in {source} is broken ({error}); save it again") from error


def _load_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); give a folder that holds it") from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} holds no JSON object")
    return loaded
