"""Tiny random bases of four families, with a byte-level tokenizer built here."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GlmConfig,
    GlmForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

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


def build_model(family: str) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        if family == "llama":
            model = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True))
        elif family == "qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
        elif family == "qwen3":
            model = Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=12))
        else:
            model = GlmForCausalLM(GlmConfig(**SHAPE, head_dim=8, attention_bias=True))
        # Livelier than the default 0.02, so that differences show.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    return model


def save_base(folder: Path, family: str, chat_template: str | None = CHAT_TEMPLATE) -> str:
    build_model(family).save_pretrained(folder)
    build_tokenizer(chat_template).save_pretrained(folder)
    return str(folder)
