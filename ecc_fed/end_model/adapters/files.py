"""Adapters as tensors: a seeded start, and peft's own files. Neither torch nor peft is needed for a start or a save.

What a shop trains, exchanges and keeps is its adapter's own tensors under peft's names. A prefix made
by an MLP has them too: peft's file holds only the prefix that the MLP makes, from which nobody can
train on, so the MLP lies beside it in `prompt_encoder.safetensors`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import AdapterState, Array
from ecc_fed.core.seeding import derive_rng
from ecc_fed.end_model.adapters.settings import AdapterSettings, LoraSettings, PrefixSettings

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
ENCODER_FILE = "prompt_encoder.safetensors"
ENCODER = "prompt_encoder"
MAGNITUDE = "lora_magnitude_vector"
_EMBEDDING = f"{ENCODER}.embedding.weight"
_TRANSFORM = tuple(f"{ENCODER}.transform.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias"))
_BAKED = "prompt_embeddings"


def peft_words(settings: AdapterSettings) -> dict[str, Any]:
    """The settings in peft's words; all else is left to peft. `adapter_config.json` holds just this and the base."""
    if isinstance(settings, PrefixSettings):
        return {
            "peft_type": "PREFIX_TUNING",
            "task_type": "CAUSAL_LM",
            "num_virtual_tokens": settings.num_virtual_tokens,
            "prefix_projection": settings.projected,
            "encoder_hidden_size": settings.encoder_hidden_size,  # None: no MLP.
        }
    modules = settings.target_modules
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": settings.rank,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "target_modules": modules if isinstance(modules, str) else list(modules),
        "use_dora": settings.method == "dora",
        "use_rslora": settings.method == "rslora",
        "bias": "none",
    }


def fresh_adapter(shapes: Mapping[str, tuple[int, ...]], seed: int) -> AdapterState:
    """A new adapter, drawn as peft draws it: A uniform in +-1/sqrt(d_in) (kaiming, a = sqrt 5) and B zero.

    A prompt encoder's embedding is N(0, 1), its linear layers uniform in +-1/sqrt(d_in). DoRA's
    magnitudes are the base's own norms, so whoever holds the base sets them. Every tensor draws
    from its own stream of `seed`, so torch's global generator plays no part.
    """
    state = {}
    for name, shape in shapes.items():
        rng = derive_rng(seed, "adapter", name)
        if ".lora_A." in name or name.startswith(f"{ENCODER}.transform."):
            bound = shapes[f"{name.rpartition('.')[0]}.weight"][1] ** -0.5
            state[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        elif name == _EMBEDDING:
            state[name] = rng.standard_normal(shape).astype(np.float32)
        else:
            state[name] = np.zeros(shape, np.float32)
    return state


def check_adapter(state: AdapterState, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses an adapter of another shape than this engine's.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    for name, shape in shapes.items():
        if name not in state:
            raise ModelError(f"the adapter lacks {name}; it was made for another base, method or other target_modules")
        if tuple(state[name].shape) != shape:
            raise ModelError(
                f"the adapter's {name} has shape {tuple(state[name].shape)}, wanted {shape}; "
                "it was made with other adapter settings or for another base"
            )
    unknown = [name for name in state if name not in shapes]
    if unknown:
        raise ModelError(f"the adapter's {unknown[0]} has no place in this base; check target_modules")


def baked_prefix(state: AdapterState) -> Array:
    """What peft keeps of a prompt encoder: (virtual tokens, 2 layers key-value width), fp32.

    With an MLP: tanh(E W0^T + b0) W2^T + b2 (Li & Liang 2021, Sec. 4.3), else E itself.
    """
    embedding = state[_EMBEDDING]
    if _TRANSFORM[0] not in state:
        return embedding
    w0, b0, w2, b2 = (state[name] for name in _TRANSFORM)
    prefix: Array = np.tanh(embedding @ w0.T + b0) @ w2.T + b2
    return prefix


def save_adapter(directory: Path, state: AdapterState, settings: AdapterSettings, base_path: str) -> None:
    """Writes `directory` as peft would, so that peft (LoRA: vLLM too) opens it; each file is whole or absent."""
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    config = peft_words(settings) | {"base_model_name_or_path": base_path, "inference_mode": True}
    files: dict[str, AdapterState] = {WEIGHTS_FILE: state}
    if isinstance(settings, PrefixSettings):
        files = {WEIGHTS_FILE: {_BAKED: baked_prefix(state)}}
        if settings.projected:
            files[ENCODER_FILE] = state
    else:
        # The modules by name: "all-linear" would depend on the reader's own idea of it.
        config["target_modules"] = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in state})
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for file, tensors in files.items():
            arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
            save_file(arrays, aside / file, metadata={"format": "pt"})
        (aside / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if directory.exists():
            for name in (*files, CONFIG_FILE):
                (aside / name).replace(directory / name)
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
    method = "dora" if dora else "rslora" if rslora else "lora"
    modules = config["target_modules"]
    return state, LoraSettings.of(config["r"], config["lora_alpha"], config["lora_dropout"], modules, method)


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


def _prefix(directory: Path, config: Mapping[str, Any], weights: AdapterState) -> tuple[AdapterState, PrefixSettings]:
    if _BAKED not in weights:
        raise ModelError(f"the adapter in {directory} has no {_BAKED} in {WEIGHTS_FILE}; save it again")
    tokens = int(config["num_virtual_tokens"])
    if not config.get("prefix_projection"):
        return {_EMBEDDING: weights[_BAKED]}, PrefixSettings("p_tuning_v2", tokens)
    if not (directory / ENCODER_FILE).is_file():
        raise ModelError(
            f"{directory} has no {ENCODER_FILE}: {WEIGHTS_FILE} holds the finished prefix alone, from which "
            "training cannot go on; copy the file too, or start a new adapter"
        )
    state = _read(directory, ENCODER_FILE)
    if sorted(state) != sorted((_EMBEDDING, *_TRANSFORM)):
        raise ModelError(f"{directory / ENCODER_FILE} holds {sorted(state)}, not a prompt encoder; save it again")
    return state, PrefixSettings("prefix_tuning", tokens, int(config["encoder_hidden_size"]))
