"""Tiny random bases of the shared engine's families, with a byte-level tokenizer built here."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIALS = ["<|pad|>", "<|end|>", "<|user|>", "<|agent|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<|user|>{{ m['content'] | trim }}"
    "{% else %}<|agent|>{{ m['content'] | trim }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|agent|>{% endif %}"
)


def build_tokenizer(chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*SPECIALS, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|agent|>"],
    )
    tokenizer.chat_template = chat_template
    return tokenizer


SHAPE = {
    "vocab_size": 272,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}


# Small enough that sequences of a test reach over windows, into layers of every kind and beyond half a head.
FAMILIES = {
    "llama": (hf.LlamaForCausalLM, hf.LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (hf.Qwen2ForCausalLM, hf.Qwen2Config, {}),
    "qwen3": (hf.Qwen3ForCausalLM, hf.Qwen3Config, {"head_dim": 12}),
    "glm": (hf.GlmForCausalLM, hf.GlmConfig, {"head_dim": 8, "attention_bias": True}),
    "mistral": (hf.MistralForCausalLM, hf.MistralConfig, {"head_dim": 12, "sliding_window": 7}),
    "phi3": (
        hf.Phi3ForCausalLM,
        hf.Phi3Config,
        {
            "sliding_window": 9,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
        },
    ),
    "smollm3": (
        hf.SmolLM3ForCausalLM,
        hf.SmolLM3Config,
        {
            "num_hidden_layers": 3,
            "no_rope_layers": [1, 0, 1],
            "use_sliding_window": True,
            "sliding_window": 6,
            "attention_bias": True,
        },
    ),
    "gemma3": (
        hf.Gemma3ForCausalLM,
        hf.Gemma3TextConfig,
        {
            "num_hidden_layers": 3,
            "head_dim": 12,
            "query_pre_attn_scalar": 20,
            "sliding_window": 7,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e2},
                "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
            },
            "final_logit_softcapping": 5.0,
            "attn_logit_softcapping": None,
        },
    ),
}


def build_model(family: str, **changed: Any) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        kind, config, own = FAMILIES[family]
        model = kind(config(**{**SHAPE, **own, **changed}))
        # Livelier than the default 0.02, so that differences show.
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
            elif family not in ("llama", "qwen2", "qwen3", "glm"):
                torch.nn.init.normal_(parameter, mean=0.0 if "bias" in name or family == "gemma3" else 1.0, std=0.3)
    return model


def save_base(folder: Path, family: str, chat_template: str | None = CHAT_TEMPLATE, **changed: Any) -> str:
    build_model(family, **changed).save_pretrained(folder)
    build_tokenizer(chat_template).save_pretrained(folder)
    return str(folder)
