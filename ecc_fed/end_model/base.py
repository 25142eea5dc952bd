"""The frozen base: any Hugging Face causal LM, by local folder or hub id, with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.engines.replies import EndMarks
from ecc_fed.end_model.quantization import keep_weights, loading_arguments
from ecc_fed.end_model.text.prompting import check_template, turn_of
from ecc_fed.models.device import choose_device
from ecc_fed.models.gguf.cache import require_sha256
from ecc_fed.models.opening import OpenedModel, open_model
from ecc_fed.models.plain.llama import LlamaWeights, open_llama


@dataclass(frozen=True, slots=True)
class Base:
    """A frozen causal LM with what is needed to talk to it."""

    model: Any
    tokenizer: Any
    path: str
    device: torch.device
    end_marks: EndMarks
    # Said before every dialogue; None: nothing.
    system: str | None = None

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end a reply."""
        return self.end_marks.ids

    @property
    def weights_alone(self) -> bool:
        """Whether the model computes nothing itself."""
        return isinstance(self.model, LlamaWeights)


def load_base(
    path: str,
    quantization: str = "none",
    device: str = "auto",
    system: str | None = None,
    sha256: str | None = None,
    weights_alone: bool = False,
) -> Base:
    """Loads the base at `path`, frozen and in evaluation mode; `system` is said before every dialogue.

    With `weights_alone` the model may be a `LlamaWeights`, which starts sooner and computes nothing itself.

    Raises:
        ModelError: nothing usable lies at `path`, or a file of another SHA-256; names it, the lack and the remedy.
        ConfigError: an unknown quantization or device, or one that this machine lacks.
    """
    target = choose_device(device, "end model")
    require_sha256(path, sha256, "end model")
    loading = loading_arguments(quantization, target)
    opened = None
    if weights_alone and set(loading) == {"dtype"}:
        opened = open_llama(path, "end model", target, loading["dtype"])
    if opened is None:
        from transformers import AutoModelForCausalLM  # seconds that a plain base spares

        opened = open_model(path, AutoModelForCausalLM, "end model", target, **loading)
    opened.require_weights()
    keep_weights(opened.model)
    with opened.refusing("its config.json, weights and tokenizer must belong together and be complete"):
        return _base(opened, system)


def _base(opened: OpenedModel, system: str | None) -> Base:
    model, tokenizer = opened.model, opened.tokenizer
    if tokenizer.eos_token_id is None:
        raise opened.refusal("has a tokenizer without eos_token, which ends every reply", "set it in its config")
    layers = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", 1)
    if layers < 1:
        raise opened.refusal(f"has {layers} layers by its config.json", "copy the config.json of this checkpoint")
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise opened.refusal(
            f"has a tokenizer of {len(tokenizer)} tokens and a model of {rows}, which do not belong together",
            "copy the tokenizer of this checkpoint",
        )
    try:
        check_template(tokenizer, system)
        turn = turn_of(tokenizer)
    except ModelError as error:
        raise ModelError(f"the end model {opened.path} cannot be talked to: {error}") from error
    declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = declared if isinstance(declared, (list, tuple)) else [] if declared is None else [declared]
    marks = EndMarks(turn.end_ids | {int(index) for index in ids}, turn.end_sequence)
    return Base(model, tokenizer, opened.path, opened.device, marks, system)
