"""Adapters in peft's own files. Neither torch nor peft is needed to save one.

What a shop trains, exchanges and keeps is its adapter's own tensors under peft's names.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from ecc_fed.core.aggregation import LORA_A, select
from ecc_fed.core.errors import ModelError
from ecc_fed.core.frozen_part import frozen_names, frozen_rank
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.low_rank import Dora, Lora, RsLora
from ecc_fed.end_model.adapters.names import (
    BAKED,
    CONFIG_FILE,
    EMBEDDING,
    ENCODER_FILE,
    FROZEN_FILE,
    MAGNITUDE,
    TRANSFORM,
    WEIGHTS_FILE,
)
from ecc_fed.end_model.adapters.prefix import PrefixTuning, PTuningV2
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.models.folder import openable


def save_adapter(directory: Path, state: AdapterState, settings: AdapterSettings, base_path: str) -> None:
    """Writes `directory` as peft would, so that peft (LoRA: vLLM too) opens it; each file is whole or absent."""
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    base = openable(base_path, "end model")
    config = settings.stored_words(state) | {"base_model_name_or_path": base, "inference_mode": True}
    files = settings.stored_tensors(state)
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", suffix=".partial", dir=directory.parent))
    try:
        for file, tensors in files.items():
            arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
            save_file(arrays, aside / file, metadata={"format": "pt"})
        (aside / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if directory.exists():
            for name in (*files, CONFIG_FILE):
                (aside / name).replace(directory / name)
            if FROZEN_FILE not in files:
                (directory / FROZEN_FILE).unlink(missing_ok=True)
        else:
            aside.chmod(0o755)
            aside.rename(directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_adapter(directory: Path) -> tuple[AdapterState, AdapterSettings]:
    """Reads an adapter folder in peft's format.

    Raises:
        ModelError: files are missing or broken, or it is an adapter of a kind that no method here has.
    """
    directory = Path(directory)
    config = _read(directory, CONFIG_FILE)
    state = _read(directory, WEIGHTS_FILE)
    if config.get("peft_type") == "PREFIX_TUNING":
        return _prefix(directory, config, state)
    if config.get("peft_type") != "LORA":
        raise ModelError(f"the adapter in {directory} is {config.get('peft_type')}: take a LoRA or a prefix of peft")
    for name, usual in {"bias": "none", "rank_pattern": {}, "alpha_pattern": {}}.items():
        if (config.get(name) or usual) != usual:
            raise ModelError(f"the adapter in {directory} has {name}={config[name]}, which no method here has")
    dora, rslora = bool(config.get("use_dora")), bool(config.get("use_rslora"))
    if dora and rslora:
        raise ModelError(f"the adapter in {directory} is both DoRA and rsLoRA, which no method here is")
    if dora != any(name.endswith(MAGNITUDE) for name in state):
        raise ModelError(
            f"the adapter in {directory} has use_dora={dora} and {'no' if dora else 'some'} magnitude vectors: "
            "its config and its weights do not belong together"
        )
    kind = Dora if dora else RsLora if rslora else Lora
    settings = kind(config["r"], float(config["lora_alpha"]), config["lora_dropout"], config["target_modules"])
    return _with_frozen_part(directory, state, settings) if (directory / FROZEN_FILE).is_file() else (state, settings)


def _with_frozen_part(directory: Path, state: AdapterState, settings: Lora) -> tuple[AdapterState, AdapterSettings]:
    """Takes apart what `Lora.stored_tensors` put together."""
    frozen = _read(directory, FROZEN_FILE)
    rank = settings.rank - frozen_rank(frozen)
    if rank < 1 or frozen.keys() != {name for a in select(state, LORA_A) for name in frozen_names(a)}:
        raise ModelError(f"{directory / FROZEN_FILE} is not of the adapter beside it; save it again")
    # The scale stays, and with it lora_alpha goes by the rank.
    alpha = settings.lora_alpha * settings.scale / settings.scale_at(rank)
    return {**of_rank(state, rank), **frozen}, replace(settings, rank=rank, lora_alpha=alpha)


def _read(directory: Path, name: str) -> dict[str, Any]:
    """One of an adapter's files: its config, or its tensors as fp32 arrays."""
    path = directory / name
    if not path.is_file():
        raise ModelError(f"{directory} has no {name}; give a folder that holds an adapter saved by peft")
    try:
        if name == CONFIG_FILE:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        from safetensors.torch import load_file  # through torch, since numpy has no bf16

        return {key: tensor.float().numpy() for key, tensor in load_file(path).items()}
    except (ValueError, SafetensorError) as error:
        raise ModelError(f"the adapter in {directory} is broken ({error}); save it again") from error


def _prefix(directory: Path, config: Mapping[str, Any], weights: AdapterState) -> tuple[AdapterState, AdapterSettings]:
    if BAKED not in weights:
        raise ModelError(f"the adapter in {directory} has no {BAKED} in {WEIGHTS_FILE}; save it again")
    tokens = int(config["num_virtual_tokens"])
    if not config.get("prefix_projection"):
        return {EMBEDDING: weights[BAKED]}, PTuningV2(tokens)
    if not (directory / ENCODER_FILE).is_file():
        raise ModelError(
            f"{directory} has no {ENCODER_FILE}: {WEIGHTS_FILE} holds the finished prefix alone, from which "
            "training cannot go on; copy the file too, or start a new adapter"
        )
    state = _read(directory, ENCODER_FILE)
    if sorted(state) != sorted((EMBEDDING, *TRANSFORM)):
        raise ModelError(f"{directory / ENCODER_FILE} holds {sorted(state)}, not a prompt encoder; save it again")
    return state, PrefixTuning(tokens, int(config["encoder_hidden_size"]))
