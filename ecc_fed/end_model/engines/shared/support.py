"""Which bases the shared engine takes: Llama, Qwen2, Qwen3 and GLM as transformers implements them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FAMILIES = ("llama", "qwen2", "qwen3", "glm")
# Rotary variants whose frequencies do not change with the length of a sequence.
_STATIC_ROPE = ("default", "linear", "llama3", "yarn")


class UnsupportedBase(Exception):
    """Why a base cannot be taken apart; the caller falls back to the peft engine."""


def check_supported(config: Any, target_modules: str | Sequence[str]) -> None:
    """Says why a base cannot be taken apart.

    Raises:
        UnsupportedBase: another family, a feature that only some of its members have, or adapters
            on modules other than the attention's and the MLP's projections.
    """
    if config.model_type not in FAMILIES:
        raise UnsupportedBase(f"its model type is {config.model_type}, not one of {', '.join(FAMILIES)}")
    rope = config.rope_parameters.get("rope_type", "default")
    if rope not in _STATIC_ROPE:
        raise UnsupportedBase(f"its rotary type {rope} depends on the length of a sequence")
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise UnsupportedBase("it has sliding-window attention")
    if config.attention_dropout:
        raise UnsupportedBase(f"it drops attention weights in training (attention_dropout={config.attention_dropout})")
    if config.hidden_act != "silu":
        raise UnsupportedBase(f"its activation is {config.hidden_act}, not silu")
    if isinstance(target_modules, str):
        return
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}
    names |= {"gate_up_proj"} if config.model_type == "glm" else {"gate_proj", "up_proj"}
    unknown = sorted(set(target_modules) - names)
    if unknown:
        raise UnsupportedBase(f"an adapter is wanted on {unknown[0]}")
