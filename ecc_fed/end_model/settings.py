"""The frozen base of every shop: the group `end_model` of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ecc_fed.core.ranges import require, require_one_of
from ecc_fed.end_model.limits import TokenLimits

Quantization = Literal["none", "bf16", "int8", "nf4"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndModelSettings(TokenLimits):
    """Which base, how it lies in memory, and how long texts may be.

    Raises:
        ConfigError: a value out of range.
    """

    # A Hugging Face hub id, a local folder, or a GGUF file; a run also takes "embedded", the model that comes with the
    # package.
    path: str
    # Of a GGUF file, which must then be that one; null: any.
    sha256: str | None = None
    # none is fp32.
    quantization: Quantization = "none"
    # auto is a GPU where there is one.
    device: Device = "auto"

    def __post_init__(self) -> None:
        TokenLimits.__post_init__(self)
        hexadecimal = self.sha256 is None or re.fullmatch("[0-9a-f]{64}", self.sha256) is not None
        require(hexadecimal, "end_model.sha256", self.sha256, "64 hexadecimal digits in small letters, or null")
        require_one_of("end_model.quantization", self.quantization, get_args(Quantization))
        require_one_of("end_model.device", self.device, get_args(Device))
