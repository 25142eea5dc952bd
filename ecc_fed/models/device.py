"""Which device a model runs on."""

from __future__ import annotations

import re

import torch

from ecc_fed.core.errors import ConfigError


def choose_device(device: str, role: str) -> torch.device:
    """The torch device of "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".

    Args:
        device: the setting.
        role: whose it is, such as "end model"; for messages.

    Raises:
        ConfigError: another name, or a GPU that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ConfigError(f"device={device!r} of the {role} is unknown: take auto, cpu, cuda or cuda:N")
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={device} of the {role}, but torch sees no GPU here: take auto or cpu")
    if chosen.index is not None and chosen.index >= torch.cuda.device_count():
        raise ConfigError(
            f"device={device} of the {role}, but torch sees {torch.cuda.device_count()} GPUs here, counted from 0: "
            "take auto or cuda"
        )
    return chosen
