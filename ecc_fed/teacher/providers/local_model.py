"""Opens a causal language model with its chat template, or says plainly why it cannot be opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from ecc_fed.core.errors import ConfigError, ModelError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROBED = 64  # values of each tensor that enter the fingerprint


@dataclass(frozen=True)
class LocalModel:
    """A model in evaluation mode. `system_role` is False where its chat template refuses system messages."""

    model: Any
    tokenizer: Any
    device: torch.device
    fingerprint: str
    max_tokens: int | None
    system_role: bool


@lru_cache(maxsize=1)
def open_model(path: str, dtype: str, device: str) -> LocalModel:
    """The model at a folder or of a hub id. The one opened last stays in memory for the next run of the process.

    Raises:
        ModelError: nothing usable at `path`; names it, what it lacks and the remedy.
        ConfigError: an unknown dtype or device, or a GPU that is not there.
    """
    target = _device(device)
    if dtype not in ("auto", *_DTYPES):
        raise ConfigError(f"teacher.dtype={dtype} is unknown: one of auto, {', '.join(_DTYPES)}")
    tokenizer, model, info = _load(path, dtype)
    lacking = sorted(str(key) for key in [*info["missing_keys"], *info["mismatched_keys"]])
    if lacking:
        raise ModelError(
            f"the teacher model {path} lacks {len(lacking)} weights that its config.json describes, the first being "
            f"{lacking[0]}: copy the whole checkpoint"
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of the teacher model {path} has no eos_token, which ends a reply: set it")
    if not tokenizer.chat_template:
        raise ModelError(
            f"the teacher model {path} has no chat template: take an instruction-tuned model (or add its "
            "chat_template.jinja)"
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked wherever it pads
    declared = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])} - {None}
    # In place of the checkpoint's sampling defaults: how replies are drawn is said by the settings alone.
    own_defaults: Any = GenerationConfig
    model.generation_config = own_defaults(eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id)
    positions = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    fingerprint = _fingerprint(model, tokenizer)
    return LocalModel(
        model.to(target).eval().requires_grad_(False),
        tokenizer,
        target,
        fingerprint,
        positions,
        _takes_system(tokenizer),
    )


def _load(path: str, dtype: str) -> tuple[Any, Any, dict[str, Any]]:
    folder = Path(path).expanduser()
    is_folder = folder.is_dir()
    if not is_folder and (folder.is_absolute() or path.startswith((".", "~")) or path.count("/") > 1 or not path):
        raise ModelError(f"there is no teacher model folder at {path!r}: give an existing folder or a hub id")
    source = str(folder) if is_folder else path
    logging: Any = transformers_logging
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        load: Any = AutoModelForCausalLM.from_pretrained
        model, info = load(source, dtype=_DTYPES.get(dtype, "auto"), output_loading_info=True)
    except Exception as error:  # transformers and the hub raise a dozen kinds for what is a path at fault
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = (
            "config.json, weights and tokenizer must lie there, belong together and be whole"
            if is_folder
            else "give a local folder, or a hub id that is in the Hugging Face cache or can be reached"
        )
        raise ModelError(f"the teacher model {path} cannot be loaded ({reason}): {remedy}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    return tokenizer, model, info


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"teacher.device={name} is unknown: one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("teacher.device=cuda, but torch sees no GPU here: take auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _fingerprint(model: Any, tokenizer: Any) -> str:
    """Tells checkpoints apart: SHA-256 over evenly spaced values of every weight, and the chat template."""
    digest = hashlib.sha256(str(tokenizer.chat_template).encode("utf-8", "replace"))
    for name, weight in sorted(model.state_dict().items()):
        flat = weight.detach().reshape(-1)
        step = max(1, flat.numel() // _PROBED)
        digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
        digest.update(flat[::step][:_PROBED].double().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _takes_system(tokenizer: Any) -> bool:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    try:
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except (TemplateError, ValueError):
        return False
    return True
