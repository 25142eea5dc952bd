"""What a base's adapters look like, by its config alone: a model on torch's meta device, where nothing is stored."""

from __future__ import annotations

import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from ecc_fed.core.aggregation import Shapes
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.engines.reference.engine import state_name
from ecc_fed.end_model.engines.reference.peft_words import peft_config
from ecc_fed.end_model.engines.reference.trial import require_linear
from ecc_fed.models.folder import openable, refusal


def adapter_shapes(path: str, settings: AdapterSettings) -> Shapes:
    """Names and shapes of a fresh adapter, those of both engines' `new_adapter`.

    Args:
        path: the base's folder, GGUF file or hub id; nothing but its config.json is read, once a file is converted.
        settings: the adapter's method and sizes.

    Raises:
        ModelError: the config cannot be read, or the base cannot bear the adapter.
    """
    folder = openable(path, "end model")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            base = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
            model = get_peft_model(base, peft_config(settings))
    except Exception as error:  # transformers and peft raise a dozen kinds for what is always one of the two at fault
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise refusal(
            "end model",
            path,
            f"does not tell what a {settings.method} adapter looks like ({reason})",
            "the server needs its config.json, and adapter settings that fit it",
        ) from error
    shapes = {state_name(name): tuple(each.shape) for name, each in model.named_parameters() if each.requires_grad}
    require_linear(shapes, settings, path)
    return shapes
