"""A config in the words of a GGUF file: the architecture, its settings, and what a file of it cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ecc_fed.models.gguf.families import FAMILIES
from ecc_fed.models.gguf.writing.refusing import inexpressible

# How a file stores matrices, as llama.cpp's own converter calls it.
Outtype = Literal["f16", "bf16", "f32"]

# What readers of these architectures take for granted, by the names of transformers' configs.
_TAKEN_FOR_GRANTED: Mapping[str, Mapping[str, Any]] = {
    "llama": {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False},
    "qwen2": {"hidden_act": "silu", "use_sliding_window": False},
    "qwen3": {"hidden_act": "silu", "use_sliding_window": False, "attention_bias": False},
    "gemma3": {
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "use_bidirectional_attention": False,
    },
}
# Of Gemma 3: every sixth layer sees the whole text, the others a window, with a rotary base that files need not state.
_WHOLE_EVERY = 6
_WINDOW_ROPE_BASE = 10_000.0


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's kind and sizes, as a file states them.

    Attributes:
        name: as llama.cpp names it.
        settings: by their names in the file, without the architecture's; whole numbers and floats, in the usual order.
        layers: how many there are.
        rotated: heads of queries and of keys whose rows a file keeps in the order of rotated neighbours; None: it
            keeps them in transformers' order.
        norm_offset: what a file adds to the weights of norms.
    """

    name: str
    settings: Mapping[str, int | float]
    layers: int
    rotated: tuple[int, int] | None
    norm_offset: float


def architecture_of(config: Any, path: str) -> Architecture:
    """What a file says of a model with this config.

    Args:
        config: transformers'.
        path: the model's; for messages.

    Raises:
        ModelError: another family, or a setting that a file of this one cannot state.
    """
    names = {family.model_type: name for name, family in FAMILIES.items()}
    name = names.get(config.model_type)
    if name is None:
        raise inexpressible(path, f"it is of the family {config.model_type}, and those written are {', '.join(names)}")
    for attribute, wanted in _TAKEN_FOR_GRANTED[name].items():
        found = getattr(config, attribute, wanted)
        if (found or None) != (wanted or None):  # some configs leave out what they do without
            raise inexpressible(path, f"its {attribute} is {found}, and a file of {name} stands for {wanted}")
    heads, key_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    if name == "gemma3":
        rope_base = _gemma_rope_base(config, width, path)
    else:
        rope_base = _rope_base(config.rope_parameters, path)
        if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
            raise inexpressible(path, "some of its layers see a window of the text alone")
    settings: dict[str, int | float] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": key_heads,
        "attention.key_length": width,
        "attention.value_length": width,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": width,
        "rope.freq_base": rope_base,
    }
    if name == "gemma3":
        settings["attention.sliding_window"] = config.sliding_window
    return Architecture(
        name,
        settings,
        config.num_hidden_layers,
        (heads, key_heads) if name == "llama" else None,
        1.0 if name == "gemma3" else 0.0,
    )


def _rope_base(rope: Mapping[str, Any], path: str) -> float:
    kind = rope.get("rope_type", "default")
    if kind != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise inexpressible(path, f"its rotary positions are scaled or partial (rope_parameters: {dict(rope)})")
    return float(rope["rope_theta"])


def _gemma_rope_base(config: Any, width: int, path: str) -> float:
    """That of the layers that see the whole text."""
    if config.query_pre_attn_scalar != width:
        raise inexpressible(
            path, f"its query_pre_attn_scalar is {config.query_pre_attn_scalar}, and a file stands for {width}"
        )
    usual = [
        "sliding_attention" if (layer + 1) % _WHOLE_EVERY else "full_attention"
        for layer in range(config.num_hidden_layers)
    ]
    if list(config.layer_types) != usual:
        raise inexpressible(path, f"not every {_WHOLE_EVERY}th of its layers, and no other, sees the whole text")
    window = _rope_base(config.rope_parameters["sliding_attention"], path)
    if window != _WINDOW_ROPE_BASE:
        raise inexpressible(path, f"its windows' rope_theta is {window:g}, and a file stands for {_WINDOW_ROPE_BASE:g}")
    return _rope_base(config.rope_parameters["full_attention"], path)
