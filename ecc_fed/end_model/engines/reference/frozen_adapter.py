"""An adapter's frozen part as a second adapter of the same peft model, active beside the trained one."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.engines.reference.peft_words import peft_config

_NAME = "frozen"


@torch.inference_mode(False)  # what is made here is trained beside later
def fill_frozen(model: Any, settings: AdapterSettings, tensors: AdapterState) -> None:
    """Puts `tensors` in the second adapter, which is added when first wanted; without any it is switched off."""
    added = _NAME in model.peft_config
    if not tensors:
        if added:
            model.base_model.set_adapter(["default"])
        return
    if not added:
        # peft draws it from the global generator; it is overwritten at once.
        with torch.random.fork_rng(devices=[]):
            model.add_adapter(_NAME, peft_config(settings))
    model.base_model.set_adapter(["default", _NAME])
    for name, parameter in model.named_parameters():
        if f".{_NAME}." in name:
            # …lora_A.frozen.weight holds …frozen_A.weight
            own = name.replace(f".lora_A.{_NAME}.", ".frozen_A.").replace(f".lora_B.{_NAME}.", ".frozen_B.")
            parameter.data = torch.tensor(tensors[own], dtype=parameter.dtype, device=parameter.device)
            parameter.requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling[_NAME] = 1.0
