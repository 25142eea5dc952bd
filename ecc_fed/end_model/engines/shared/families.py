"""The families that the shared engine takes, by what their blocks are made of where that is not Llama's.

What a checkpoint chooses within its family (biases, tied heads, partial rotary, norms of heads, windows) is read from
its config and its modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Family:
    """The parts of a family's blocks, by transformers' names; the defaults are Llama's.

    Attributes:
        query_key_value: the projections of the attention's input, in this order in their outputs.
        gate_up: those of the MLP's input, gate before up.
        before_mlp: the norm of what goes into the MLP.
        behind_attention, behind_mlp: the norms of what comes out, before it is added; None: it is added as it is.
        norm_offset: what a norm multiplies by is its weight plus this.
        interleaved: rotary turns neighbouring dimensions; else those half the rotary dimensions apart.
        rope_by_layer_type: rotary has other frequencies by kind of layer.
        windows_everywhere: `sliding_window` bounds every layer; else those that `layer_types` names.
        score_scalar: the setting whose -1/2 power scales attention scores; None: the head's size.
        activation: the setting that names the gate's activation.
        neutral: settings by which the family would compute something else, with the value that leaves it as it is.
    """

    query_key_value: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    gate_up: tuple[str, ...] = ("gate_proj", "up_proj")
    before_mlp: str = "post_attention_layernorm"
    behind_attention: str | None = None
    behind_mlp: str | None = None
    norm_offset: float = 0.0
    interleaved: bool = False
    rope_by_layer_type: bool = False
    windows_everywhere: bool = False
    score_scalar: str | None = None
    activation: str = "hidden_act"
    neutral: Mapping[str, Any] | None = None

    @property
    def projections(self) -> tuple[str, ...]:
        """The modules of a block that may bear adapters."""
        return *self.query_key_value, "o_proj", *self.gate_up, "down_proj"

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms of a block over its whole width."""
        behind = (name for name in (self.behind_attention, self.behind_mlp) if name is not None)
        return "input_layernorm", self.before_mlp, *behind


FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "qwen2": Family(),
    "qwen3": Family(),
    "smollm3": Family(),
    "mistral": Family(windows_everywhere=True),
    "phi3": Family(
        query_key_value=("qkv_proj",),
        gate_up=("gate_up_proj",),
        windows_everywhere=True,
        neutral={"resid_pdrop": 0.0},
    ),
    "glm": Family(gate_up=("gate_up_proj",), interleaved=True),
    "gemma3_text": Family(
        before_mlp="pre_feedforward_layernorm",
        behind_attention="post_attention_layernorm",
        behind_mlp="post_feedforward_layernorm",
        norm_offset=1.0,
        rope_by_layer_type=True,
        score_scalar="query_pre_attn_scalar",
        activation="hidden_activation",
        neutral={"use_bidirectional_attention": False},
    ),
}


def windows(config: Any, family: Family) -> list[int | None]:
    """For every layer, how many tokens back a token sees, itself included; None: all."""
    window = getattr(config, "sliding_window", None)
    if window is None or family.windows_everywhere:
        return [window if family.windows_everywhere else None] * config.num_hidden_layers
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return [window if kind == "sliding_attention" else None for kind in kinds]


def ropes(config: Any, family: Family) -> list[str | None]:
    """For every layer, the name of its rotary frequencies ("" where there is one set); None: it has no rotary."""
    layers = config.num_hidden_layers
    names = config.layer_types if family.rope_by_layer_type else [""] * layers
    turned = getattr(config, "no_rope_layers", None) or [1] * layers
    return [name if turns else None for name, turns in zip(names, turned, strict=False)]
