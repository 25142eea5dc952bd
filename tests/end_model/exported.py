"""Small random bases with a random adapter merged in, written as GGUF files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    PreTrainedTokenizerFast,
)

from ecc_fed.end_model.base import Base
from ecc_fed.end_model.gguf_file import plan_file, write
from ecc_fed.end_model.merging import merge
from ecc_fed.models.gguf.writing.architecture import Outtype
from tests.models.chat_tokenizers import CHATML
from tests.models.gguf.tiny_gguf import build_model, build_tokenizer

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = [
    "请问抱枕多少钱，亲 12元",
    "hello  World! it's 2024 1 1",
    "😀 caf\u00e9\n\n\t le: le",
    "<|im_end|> <unk0> <|user|> [INST] <0x41> <bos>",
    " hel heLle",
    "hellehelle lele   le",
    "",
]
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@dataclass
class Exported:
    """A file, the model that went into it, and the base's folder."""

    file: Path
    merged: Base
    base: Path

    def read(self, dtype: torch.dtype = torch.float32) -> Any:
        """By transformers' own reader of such files, told the sizes of heads that it takes from its classes."""
        place: dict[str, Any] = {"gguf_file": self.file.name}
        config = AutoConfig.from_pretrained(self.file.parent, **place)
        for name in ("head_dim", "query_pre_attn_scalar"):
            if hasattr(config, name):
                setattr(config, name, getattr(self.merged.model.config, name))
        return AutoModelForCausalLM.from_pretrained(self.file.parent, **place, config=config, dtype=dtype)


def save_base(folder: Path, family: str, tokenizer: Any = None) -> Path:
    """A random base, in fp32, with a tokenizer that may be another one than its own."""
    model = build_gemma() if family == "gemma3" else build_model(family)
    tokenizer = build_tokenizer() if tokenizer is None else tokenizer
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_gemma() -> Any:
    """Seven layers, of which the sixth sees the whole text and the others two words."""
    small = build_model("gemma3").config.to_dict()
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    keys += ("query_pre_attn_scalar", "rope_parameters", "max_position_embeddings", "eos_token_id")
    config = Gemma3TextConfig(
        **{key: small[key] for key in keys}, num_hidden_layers=7, sliding_window=4, tie_word_embeddings=True
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12)
        model: Any = Gemma3ForCausalLM(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def export(base: Path, out: Path, outtype: Outtype = "f32") -> Exported:
    """What `ecc-fed export --to gguf` does, with an adapter of random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        beside: Any = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False),
        )
    beside.save_pretrained(out / "adapter")
    plan = plan_file(str(base), outtype, out)
    merged = merge(str(base), "none", out / "adapter")
    write(plan, merged, "a shop", out / "model.gguf")
    return Exported(out / "model.gguf", merged, base)


def byte_tokenizer(split: str) -> Any:
    """As `build_tokenizer`, and `llama-bpe` as well."""
    if split != "llama-bpe":
        return build_tokenizer(split)
    tokenizer = build_tokenizer()
    backend = tokenizer.backend_tokenizer
    backend.normalizer = None
    backend.model.ignore_merges = True
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def piece_tokenizer(blanks: str) -> Any:
    """Pieces of characters, bytes where there is none. `blanks`: "prefix" as Llama 2, "replaced" as Gemma, "kept"."""
    blank = " " if blanks == "kept" else "\u2581"
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<|im_start|>", "<|im_end|>"]
    letters = [*"heloWrd!':1204\n亲抱枕多少<|>imn_", blank]
    merges = [("l", "e"), ("h", "e"), ("抱", "枕"), ("e", "l"), ("he", "l"), ("h", "el"), ("le", "le")]
    if blanks != "kept":
        merges += [(blank, "le"), (blank, blank)]
    pieces = [*names, *_BYTES, *letters, *dict.fromkeys(left + right for left, right in merges)]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    replace = normalizers.Replace(" ", "\u2581")
    steps = {"prefix": normalizers.Sequence([normalizers.Prepend("\u2581"), replace]), "replaced": replace}
    if blanks == "kept":
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[0-9]|[^\p{Han}A-Za-z]"), "isolated")
    else:
        backend.normalizer = steps[blanks]
    back = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(back[blanks == "kept" :] + [decoders.Strip(" ", 1, 0)] * (blanks == "prefix"))
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<|im_end|>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_start|>", "<eos>"],
    )
    tokenizer.chat_template = CHATML
    return tokenizer
