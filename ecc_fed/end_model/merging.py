"""An adapter made a part of its base: a plain transformers model, which needs neither peft nor this package."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from ecc_fed.end_model.base import Base, load_base
from ecc_fed.models.folder import refusal
from ecc_fed.models.opening import quiet, refusing

_PROBE_TOKENS = 16
# Of logits, between base + adapter and merged, relative to the largest: fp32 alone gives some 1e-6.
_MOST_DIFFERENCE = 1e-3
_ROLE, _REMEDY = "end model", "export it with --to peft"


def merge(base_path: str, quantization: str, adapter_folder: Path) -> Base:
    """The base with a low-rank adapter merged in, on the CPU, in fp32.

    Args:
        base_path: a folder or a hub id.
        quantization: none; or bf16, which rounds the base's weights first, as the run did.
        adapter_folder: in peft's format.

    Raises:
        ModelError: base or adapter cannot be opened, or merged they answer otherwise than side by side.
    """
    base = load_base(base_path, quantization, "cpu")
    with refusing(_ROLE, base_path, "cannot be merged with the adapter", _REMEDY), torch.inference_mode():
        beside = PeftModel.from_pretrained(base.model.float(), adapter_folder).eval()
        rows = base.model.get_input_embeddings().weight.shape[0]
        probe = torch.arange(min(_PROBE_TOKENS, rows)).unsqueeze(0)  # (1, tokens)
        before = beside(probe).logits
        merged: Any = beside.merge_and_unload()
        # Tied weights above all: what is added to one of them is added to the other as well.
        difference = float((merged(probe).logits - before).abs().max() / before.abs().max())
        if not difference <= _MOST_DIFFERENCE:
            raise ValueError(f"merged, its logits differ by {difference:.2g} of the largest")
    return replace(base, model=merged)


def save_merged(merged: Base, folder: Path) -> None:
    """Writes model and tokenizer as transformers does, and nothing of where the base lay.

    Raises:
        ModelError: transformers refuses to, as with a generation config that contradicts itself.
        OSError: the folder cannot be written.
        SafetensorError: the same, of the weights.
    """
    merged.model.config._name_or_path = ""
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            merged.model.save_pretrained(folder)
            merged.tokenizer.save_pretrained(folder)
    except ValueError as error:
        raise refusal(_ROLE, merged.path, f"cannot be saved once merged ({error})", _REMEDY) from error
