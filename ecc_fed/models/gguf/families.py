"""The architectures that are read, and what a file of theirs may hold: anything else would be left out in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Of a block, and of the whole model. `output.weight` is there where the head is not the embedding.
_BLOCK = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
_WHOLE = frozenset({"token_embd.weight", "output_norm.weight", "output.weight"})
_SETTINGS = frozenset(
    {
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.layer_norm_rms_epsilon",
        "rope.dimension_count",
        "rope.freq_base",
        "vocab_size",
    }
)


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture.

    Attributes:
        model_type: transformers' name of it.
        besides: tensors of a block, beside those that all families have.
        settings: the settings that are read.
    """

    model_type: str
    besides: tuple[str, ...] = ()
    settings: frozenset[str] = _SETTINGS

    def holds(self, tensor: str, blocks: int) -> bool:
        """Whether a model of `blocks` layers has this tensor."""
        if not tensor.startswith("blk."):
            return tensor in _WHOLE
        _, number, name = tensor.split(".", 2)
        weights = {f"{part}.weight" for part in _BLOCK}
        return number.isdecimal() and int(number) < blocks and name in weights.union(self.besides)


FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama"),
    "qwen2": Family("qwen2", ("attn_q.bias", "attn_k.bias", "attn_v.bias")),
    "qwen3": Family("qwen3", ("attn_q_norm.weight", "attn_k_norm.weight")),
    "gemma3": Family(
        "gemma3_text",
        ("attn_q_norm.weight", "attn_k_norm.weight", "post_attention_norm.weight", "post_ffw_norm.weight"),
        _SETTINGS | {"attention.sliding_window"},
    ),
}
# How llama.cpp names the ways in which a byte-level vocabulary splits texts, of those that are rebuilt exactly.
SPLITS = frozenset({"gpt-2", "llama-bpe", "llama3", "llama-v3", "qwen2", "smollm"})
