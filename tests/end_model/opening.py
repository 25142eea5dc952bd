"""Both engines on a base from a folder, on the CPU."""

from typing import Any

from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.limits import TokenLimits


def peft_engine(
    path: str, settings: AdapterSettings | None = None, quantization: str = "none", **limits: int
) -> PeftEngine:
    return PeftEngine(load_base(path, quantization, "cpu"), settings or Lora(), TokenLimits(**limits))


def shared_engine(
    path: str, settings: AdapterSettings | None = None, quantization: str = "none", **options: Any
) -> SharedEngine:
    return SharedEngine(load_base(path, quantization, "cpu"), settings or Lora(), **options)
