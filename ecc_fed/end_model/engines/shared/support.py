"""Which bases the shared engine takes, and why it leaves another to the reference engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ecc_fed.end_model.engines.shared.families import FAMILIES, Family, ropes
from ecc_fed.end_model.engines.shared.row_functions import GATED

# Rotary variants whose frequencies do not change with the length of a sequence.
_STATIC_ROPE = ("default", "linear", "llama3", "yarn")
_LAYER_TYPES = ("full_attention", "sliding_attention")
_HEAD_NORMS = ("q_norm", "k_norm")


class UnsupportedBase(Exception):
    """Why a base cannot be taken apart; the caller falls back to the peft engine."""


def check_supported(config: Any, target_modules: str | Sequence[str], tokens: int = 0) -> None:
    """Says why a base cannot be taken apart, by its config.

    Args:
        config: transformers'.
        target_modules: what adapters are wanted on.
        tokens: of the longest sequence that is planned for.

    Raises:
        UnsupportedBase: another family, a feature that only some of its members have, or adapters
            on modules other than the attention's and the MLP's projections.
    """
    if config.model_type not in FAMILIES:
        raise UnsupportedBase(f"its model type is {config.model_type}, not one of {', '.join(FAMILIES)}")
    family = FAMILIES[config.model_type]
    _check_rope(config, family, tokens)
    unknown = sorted(set(getattr(config, "layer_types", None) or ()) - set(_LAYER_TYPES))
    if unknown:
        raise UnsupportedBase(f"it has layers of the kind {unknown[0]}")
    if config.attention_dropout:
        raise UnsupportedBase(f"it drops attention weights in training (attention_dropout={config.attention_dropout})")
    for name, value in (family.neutral or {}).items():
        found = getattr(config, name, None)
        if found is not None and found != value:
            raise UnsupportedBase(f"its config has {name}={found}, which is computed nowhere here")
    activation = getattr(config, family.activation)
    if activation not in GATED:
        raise UnsupportedBase(f"its activation is {activation}, not one of {', '.join(GATED)}")
    if isinstance(target_modules, str):
        return
    other = sorted(set(target_modules) - set(family.projections))
    if other:
        raise UnsupportedBase(f"an adapter is wanted on {other[0]}")


def _check_rope(config: Any, family: Family, tokens: int) -> None:
    for name in {name for name in ropes(config, family) if name is not None}:
        settings = config.rope_parameters.get(name) if family.rope_by_layer_type else config.rope_parameters
        if not settings:
            raise UnsupportedBase(f"its layers of the kind {name} have no rotary frequencies")
        kind = settings.get("rope_type", "default")
        if kind == "longrope":
            bound = settings["original_max_position_embeddings"]
            if tokens > bound:
                raise UnsupportedBase(
                    f"its rotary frequencies are others beyond {bound} tokens, and end_model.max_prompt_tokens and "
                    f"max_reply_tokens together are {tokens}"
                )
        elif kind not in _STATIC_ROPE:
            raise UnsupportedBase(f"its rotary type {kind} depends on the length of a sequence")


def longest_sequence(config: Any) -> int | None:
    """The tokens up to which a supported base's rotary frequencies hold; None: for any length."""
    family = FAMILIES[config.model_type]
    sets = config.rope_parameters.values() if family.rope_by_layer_type else [config.rope_parameters]
    bounds = [each["original_max_position_embeddings"] for each in sets if each.get("rope_type") == "longrope"]
    return min(bounds, default=None)


def check_parts(model: Any) -> None:
    """Says why a model of a supported family cannot be taken apart, by the parameters of its blocks.

    Raises:
        UnsupportedBase: a block has a parameter that is computed nowhere here, or lacks one that is.
    """
    family = FAMILIES[model.config.model_type]
    needed = {f"{name}.weight" for name in (*_places(family), *family.norms)}
    allowed = needed | {f"{name}.bias" for name in _places(family)}
    allowed |= {f"self_attn.{name}.weight" for name in _HEAD_NORMS}
    for index, block in enumerate(model.model.layers):
        found = {name for name, _ in block.named_parameters()}
        for name in sorted(found - allowed):
            raise UnsupportedBase(f"its layer {index} has {name}, which is computed nowhere here")
        for name in sorted(needed - found):
            raise UnsupportedBase(f"its layer {index} lacks {name}")


def _places(family: Family) -> Iterator[str]:
    yield from (f"self_attn.{name}" for name in (*family.query_key_value, "o_proj"))
    yield from (f"mlp.{name}" for name in (*family.gate_up, "down_proj"))
