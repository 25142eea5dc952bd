"""An original ChatGLM3 `config.json`, read strictly, and the same model as a `GlmConfig`.

The original's modelling code has switches that change the mathematics. Only the settings ChatGLM3
was released with have a native counterpart; any other value, and any key whose effect is unknown,
is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import GlmConfig

from ecc_fed.core.errors import ModelError

# Switch -> (what an absent key means in the original's config class, the only value carried over).
_SWITCHES: dict[str, tuple[object, object]] = {
    "rmsnorm": (True, True),
    "post_layer_norm": (True, True),
    "apply_residual_connection_post_layernorm": (False, False),
    "fp32_residual_connection": (False, False),
    "add_bias_linear": (False, False),
    "add_qkv_bias": (False, True),
    "multi_query_attention": (False, True),
    "interleaved_qkv": (False, False),
    "original_rope": (True, True),
    "tie_word_embeddings": (False, False),
    "hidden_dropout": (0.0, 0.0),
    "attention_dropout": (0.0, 0.0),
    "quantization_bit": (0, 0),
    "pre_seq_len": (None, None),
}
_SIZES = (
    "num_layers",
    "hidden_size",
    "ffn_hidden_size",
    "num_attention_heads",
    "multi_query_group_num",
    "kv_channels",
    "padded_vocab_size",
    "seq_length",
)
# Keys without any effect on the logits: names, bookkeeping, how a kernel computes the same thing.
_NEUTRAL = {
    "_name_or_path",
    "apply_query_key_layer_scaling",
    "architectures",
    "attention_softmax_in_fp32",
    "auto_map",
    "bias_dropout_fusion",
    "bos_token_id",
    "classifier_dropout",
    "dtype",
    "eos_token_id",
    "model_type",
    "pad_token_id",
    "prefix_projection",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "vocab_size",
}


@dataclass(frozen=True, slots=True)
class Geometry:
    """The sizes of a ChatGLM3 model. Rows of the fused projection: query, then key, then value."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    groups: int
    head_dim: int
    vocabulary: int
    positions: int
    norm_epsilon: float
    rope_theta: float

    @property
    def query_rows(self) -> int:
        """Rows of the query projection."""
        return self.heads * self.head_dim

    @property
    def key_value_rows(self) -> int:
        """Rows of the key projection, and of the value projection."""
        return self.groups * self.head_dim


def read_geometry(folder: Path) -> Geometry:
    """Reads `folder/config.json` of an original checkpoint.

    Raises:
        ModelError: no such file, another model, or a setting that has no native counterpart.
    """
    path = Path(folder) / "config.json"
    config = _load(path)
    if config.get("model_type") != "chatglm":
        raise ModelError(
            f"{path}: model_type={config.get('model_type')!r}, wanted 'chatglm'; give the folder of an original "
            "ChatGLM3 checkpoint (a converted one needs no second conversion)"
        )
    if "chatglm2" in str(config.get("_name_or_path", "")).lower():
        raise ModelError(
            f"{path}: _name_or_path={config['_name_or_path']!r} is ChatGLM2, which has other roles and another "
            "rope_ratio; give a ChatGLM3 checkpoint"
        )
    _refuse_unknown(path, config)
    _check_switches(path, config)
    sizes = {name: _positive_integer(path, config, name) for name in _SIZES}
    geometry = Geometry(
        layers=sizes["num_layers"],
        hidden=sizes["hidden_size"],
        intermediate=sizes["ffn_hidden_size"],
        heads=sizes["num_attention_heads"],
        groups=sizes["multi_query_group_num"],
        head_dim=sizes["kv_channels"],
        vocabulary=sizes["padded_vocab_size"],
        positions=sizes["seq_length"],
        norm_epsilon=_positive_number(path, config, "layernorm_epsilon", 1e-5),
        rope_theta=10000.0 * _positive_number(path, config, "rope_ratio", 1),
    )
    if geometry.heads % geometry.groups:
        raise ModelError(
            f"{path}: num_attention_heads={geometry.heads} is no multiple of "
            f"multi_query_group_num={geometry.groups}; copy the checkpoint's own config.json again"
        )
    if geometry.head_dim % 4:
        raise ModelError(
            f"{path}: kv_channels={geometry.head_dim} is no multiple of 4, but half of it is rotated in pairs; "
            "copy the checkpoint's own config.json again"
        )
    return geometry


def native_config(geometry: Geometry, dtype: str, bos_id: int, end_ids: tuple[int, ...], pad_id: int) -> GlmConfig:
    """The same model in transformers' words (no remote code)."""
    return GlmConfig(
        architectures=["GlmForCausalLM"],
        dtype=dtype,
        vocab_size=geometry.vocabulary,
        hidden_size=geometry.hidden,
        intermediate_size=geometry.intermediate,
        num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads,
        num_key_value_heads=geometry.groups,
        head_dim=geometry.head_dim,
        attention_bias=True,
        max_position_embeddings=geometry.positions,
        rms_norm_eps=geometry.norm_epsilon,
        tie_word_embeddings=False,
        bos_token_id=bos_id,
        eos_token_id=list(end_ids),
        pad_token_id=pad_id,
        # The original rotates the first half of every head, in interleaved pairs, as Glm does.
        rope_parameters={
            "rope_type": "default",
            "rope_theta": geometry.rope_theta,
            "partial_rotary_factor": 0.5,
        },
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; give the folder of an original ChatGLM3 checkpoint") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy it again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object; copy it again")
    return config


def _refuse_unknown(path: Path, config: dict[str, Any]) -> None:
    known = {*_SWITCHES, *_SIZES, *_NEUTRAL, "layernorm_epsilon", "rope_ratio"}
    unknown = sorted(set(config) - known)
    if unknown:
        raise ModelError(
            f"{path}: unknown key {unknown[0]}={config[unknown[0]]!r}; what it changes in the model is not known here, "
            "so nothing is converted: remove it from a copy of config.json if it changes nothing"
        )


def _check_switches(path: Path, config: dict[str, Any]) -> None:
    for name, (absent, wanted) in _SWITCHES.items():
        value = config.get(name, absent)
        if value != wanted:
            given = f"{name}={value!r}" if name in config else f"{name} is absent, which means {absent!r}"
            raise ModelError(
                f"{path}: {given}, but only {wanted!r} has a native counterpart; give an unquantized ChatGLM3 "
                "checkpoint of the released architecture"
            )


def _positive_integer(path: Path, config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"{path}: {name}={value!r} is no positive whole number; copy the checkpoint's own config.json")
    return value


def _positive_number(path: Path, config: dict[str, Any], name: str, absent: float) -> float:
    value = config.get(name, absent)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ModelError(f"{path}: {name}={value!r} is no positive number; copy the checkpoint's own config.json")
    return float(value)
