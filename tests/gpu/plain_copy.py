"""The very weights that a narrow base is multiplied by, as a base in fp32."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared.frozen_matrix import dequantize


def plain_copy(path: str, quantization: str, device: torch.device, folder: Path) -> str:
    narrow = load_base(path, quantization, str(device)).model
    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            module = narrow.get_submodule(name.rpartition(".")[0])
            quantized = type(module).__module__.startswith("bitsandbytes") and name.endswith(".weight")
            found = dequantize(module, torch.bfloat16) if quantized else narrow.get_parameter(name)
            parameter.copy_(found)
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(path).save_pretrained(folder)
    return str(folder)
