"""Loads a frozen base: any Hugging Face causal LM, by local folder or hub id, with its tokenizer.

What a user can get wrong is refused here with the folder's name, what is missing and the remedy;
above all a checkpoint with missing weights, which transformers would fill with random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.end_model.quantization import loading_arguments

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


@dataclass(frozen=True, slots=True)
class Base:
    """A frozen causal LM with what is needed to talk to it."""

    model: Any
    tokenizer: Any
    path: str
    device: torch.device
    end_ids: frozenset[int]


def check_limits(max_prompt_tokens: int, max_reply_tokens: int, batch_tokens: int) -> None:
    """Refuses limits below 1.

    Raises:
        ConfigError: names the limit and its value.
    """
    limits = {
        "max_prompt_tokens": max_prompt_tokens,
        "max_reply_tokens": max_reply_tokens,
        "batch_tokens": batch_tokens,
    }
    for name, value in limits.items():
        if value < 1:
            raise ConfigError(f"{name}={value} is out of range; it must be at least 1")


def load_base(path: str, quantization: str = "none", device: str = "auto") -> Base:
    """Loads the base at `path`, frozen and in evaluation mode.

    Raises:
        ModelError: nothing usable lies at `path`; the message names folder, lack and remedy.
        ConfigError: an unknown quantization or device, or one that this machine lacks.
    """
    target = resolve_device(device)
    arguments = loading_arguments(quantization, target)
    folder = find_folder(path)
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            load: Any = AutoModelForCausalLM.from_pretrained
            model, info = load(folder, local_files_only=True, output_loading_info=True, **arguments)
    except (OSError, ValueError, KeyError, SafetensorError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"{folder} cannot be loaded as a causal language model: {reason[0] if reason else type(error).__name__}; "
            "check that config.json, weights and tokenizer belong together and are whole"
        ) from error
    _check_loaded(folder, model, tokenizer, info)
    if "device_map" not in arguments:
        model.to(target)
    model.requires_grad_(False)
    model.eval()
    return Base(model, tokenizer, path, target, _end_ids(model, tokenizer))


def resolve_device(device: str) -> torch.device:
    """The torch device of "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        ConfigError: another name, or "cuda" where there is no GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device={device!r} is unknown; take auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch sees no GPU here; take device=auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def find_folder(path: str) -> Path:
    """The local folder of a model: `path` itself, or the hub's files for that id (cached, else fetched).

    Raises:
        ModelError: no such folder, an incomplete one, or a hub id that is not cached and not reachable.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return folder
    if folder.exists() or path.startswith((".", "/", "~")) or path.count("/") > 1 or not path.strip():
        raise ModelError(f"no model folder at {path!r}; give an existing folder, or a hub id such as `name/model`")
    try:
        cached = Path(snapshot_download(path, local_files_only=True))
        _check_folder(cached)
        return cached
    except (OSError, ValueError, ModelError):
        pass  # Not cached, or only in part: ask the hub.
    try:
        fetched = Path(snapshot_download(path, allow_patterns=_HUB_FILES))
    except Exception as error:  # The hub client raises httpx's and its own errors alike.
        raise ModelError(
            f"{path!r} is no local folder, is not in the Hugging Face cache, and could not be fetched "
            f"({type(error).__name__}); connect once to fetch it, set HF_HOME to a cache that holds it, "
            "or give a local folder"
        ) from error
    _check_folder(fetched)
    return fetched


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars."""
    logging: Any = transformers_logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json; it is no model folder: give one saved by save_pretrained")
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        raise ModelError(
            f"{folder} has no weights (*.safetensors or pytorch_model*.bin); copy or download them into it"
        )
    if not any((folder / name).is_file() for name in _TOKENIZER):
        raise ModelError(f"{folder} has no tokenizer (tokenizer.json or tokenizer.model); copy it beside the weights")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{folder / 'config.json'} is no valid JSON ({error}); copy it again") from error
    if config.get("model_type") == "chatglm" or "AutoModelForCausalLM" in config.get("auto_map", {}):
        raise ModelError(
            f"{folder} needs its own modelling code, which is never run here; "
            "for ChatGLM3 convert it once with `ecc-fed convert-chatglm3`, else take a natively supported model"
        )


def _check_loaded(folder: Path, model: Any, tokenizer: Any, info: dict[str, Any]) -> None:
    lacking = sorted(str(key) for key in [*info["missing_keys"], *info["mismatched_keys"]])
    if lacking:
        raise ModelError(
            f"the weights in {folder} lack {len(lacking)} tensors of the model its config.json describes, "
            f"the first being {lacking[0]}; copy the full checkpoint, or the config.json that belongs to it"
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer in {folder} has no eos_token, which ends every reply; set it in its config")
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens, its model only {rows}; they do not belong together"
        )


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = declared if isinstance(declared, (list, tuple)) else [] if declared is None else [declared]
    return frozenset({int(tokenizer.eos_token_id), *(int(i) for i in ids)})
