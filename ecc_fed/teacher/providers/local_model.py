"""A causal language model with its chat template, on this machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.models.chat_template import TEMPLATES, TemplateRefusal, placeholder, take_apart
from ecc_fed.models.device import choose_device
from ecc_fed.models.opening import OpenedModel, open_model
from ecc_fed.models.turn_end import agent_turn

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROBED = 64  # values of each tensor that enter the fingerprint


@dataclass(frozen=True)
class LocalModel:
    """A model in evaluation mode. `system_role` is False where its chat template refuses system messages.

    `end_sequence` ends a reply where the template's mark is no token of its own (`models.turn_end`).
    """

    model: Any
    tokenizer: Any
    device: torch.device
    fingerprint: str
    max_tokens: int | None
    system_role: bool
    end_sequence: tuple[int, ...]


@lru_cache(maxsize=1)
def open_local_model(path: str, dtype: str, device: str) -> LocalModel:
    """The model at a folder or of a hub id. The one opened last stays in memory for the next run of the process.

    Raises:
        ModelError: nothing usable at `path`; names it, what it lacks and the remedy.
        ConfigError: an unknown dtype or device, or a GPU that is not there.
    """
    target = choose_device(device, "teacher model")
    if dtype not in ("auto", *_DTYPES):
        raise ConfigError(f"teacher.dtype={dtype} is unknown: one of auto, {', '.join(_DTYPES)}")
    opened = open_model(path, AutoModelForCausalLM, "teacher model", target, dtype=_DTYPES.get(dtype, "auto"))
    opened.require_weights()
    with opened.refusing("config.json, weights and tokenizer must belong together and be complete"):
        return _local_model(opened)


def _local_model(opened: OpenedModel) -> LocalModel:
    model, tokenizer = opened.model, opened.tokenizer
    if tokenizer.eos_token_id is None:
        raise opened.refusal("has a tokenizer without eos_token, which ends a reply", "set it in its config")
    if not tokenizer.chat_template:
        raise opened.refusal("has no chat template", "take an instruction-tuned model, or add its chat_template.jinja")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked wherever it pads
    try:
        system_role = _takes_system(tokenizer)
        turn = agent_turn(tokenizer)
        _, places = take_apart(TEMPLATES.render(tokenizer, [{"role": "user", "content": placeholder(0)}]))
        if len(places) != 1:
            raise ModelError("its chat template does not print a message once; give the tokenizer another one")
    except ModelError as error:
        raise ModelError(f"the teacher model {opened.path} cannot be talked to: {error}") from error
    declared = model.generation_config.eos_token_id
    ends = {*turn.end_ids, *(declared if isinstance(declared, list) else [declared])} - {None}
    # In place of the checkpoint's sampling defaults: how replies are drawn is said by the settings alone.
    own_defaults: Any = GenerationConfig
    model.generation_config = own_defaults(eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id)
    positions = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    fingerprint = _fingerprint(model, tokenizer)
    return LocalModel(model, tokenizer, opened.device, fingerprint, positions, system_role, turn.end_sequence)


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
    """Whether the template prints what a system message says: some refuse one, some leave it out."""
    chat = [{"role": role, "content": placeholder(index)} for index, role in enumerate(("system", "user"))]
    try:
        _, places = take_apart(TEMPLATES.render(tokenizer, chat))
    except TemplateRefusal:
        return False
    return [place.index for place in places] == [0, 1]
