"""How a base is held in memory: fp32, bf16, or bitsandbytes' int8 and NF4 (on GPU and CPU)."""

from __future__ import annotations

import importlib.util
from typing import Any, get_args

import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.end_model.settings import Quantization

QUANTIZATIONS = get_args(Quantization)


def loading_arguments(quantization: str, device: torch.device) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained` that load a base as asked.

    Raises:
        ConfigError: an unknown name, or a quantized base without bitsandbytes.
    """
    if quantization not in QUANTIZATIONS:
        raise ConfigError(f"quantization={quantization!r} is unknown; take one of {', '.join(QUANTIZATIONS)}")
    if quantization == "none":
        return {"dtype": torch.float32}
    if quantization == "bf16":
        return {"dtype": torch.bfloat16}
    if importlib.util.find_spec("bitsandbytes") is None or importlib.util.find_spec("accelerate") is None:
        raise ConfigError(
            f"quantization={quantization!r} needs the packages bitsandbytes and accelerate; install the extra "
            "`ecc_fed[quantization]`, or take quantization=none or bf16"
        )
    import transformers

    config_class: Any = transformers.BitsAndBytesConfig
    # Norms, embeddings and activations: bf16 is native on a GPU, and slower than fp32 on most CPUs.
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if quantization == "int8":
        config = config_class(load_in_8bit=True)
    else:
        config = config_class(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"dtype": dtype, "quantization_config": config, "device_map": {"": str(device)}}


def keep_weights(model: Any) -> None:
    """Keeps bitsandbytes from packing 4-bit weights anew at their first use, as it does on CPUs with AVX512-BF16.

    The packed ones are no weights for others (the shared engine reads them too), are in bf16's precision, and cannot be
    made of layers narrower than a quantization block.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
