"""Small random models written as GGUF files with llama.cpp's own package, and the same models in transformers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.models.chat_tokenizers import CHATML

KINDS = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
}
HEADS, KEY_HEADS, LAYERS, POSITIONS = 4, 2, 2, 512
# No special token stands where the classes of transformers think theirs to be.
NAMES = ["<unk0>", "<unk1>", "<unk2>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("Ġ", "Ġ"), ("l", "e"), (":", "Ċ"), ("h", "e"), ("he", "l"), ("1", "2"), ("Ġ", "1")]
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NAMES = {
    "embed_tokens": "token_embd",
    "lm_head": "output",
    "model.norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "input_layernorm": "attn_norm",
}


def build_tokenizer(split: str = "qwen2") -> Any:
    """Bytes with a few merges, split as the named rule does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*NAMES, *alphabet, *(left + right for left, right in MERGES)]
    backend = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=MERGES))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split == "qwen2":
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_QWEN2), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    elif split == "smollm":
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    else:
        backend.pre_tokenizer = plain
    backend.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def build_model(family: str, *, tied: bool = False) -> Any:
    """A random model of four heads with rather lively weights."""
    shape: dict[str, Any] = {
        "vocab_size": len(build_tokenizer()),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
        "bos_token_id": None,
        "eos_token_id": NAMES.index("<|im_end|>"),
        "pad_token_id": NAMES.index("<|endoftext|>"),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model: Any
        if family == "llama":
            model = LlamaForCausalLM(LlamaConfig(**shape))
        elif family == "qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**shape))
        elif family == "qwen3":
            model = Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=32))
        else:
            rope = {
                "full_attention": shape.pop("rope_parameters"),
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            }
            own = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 8, "rope_parameters": rope}
            model = Gemma3ForCausalLM(Gemma3TextConfig(**(shape | {"tie_word_embeddings": True}), **own))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        if family == "gemma3":
            # Scaled up by its width and tied, the embedding of the last token would decide the next alone.
            torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.005)
    return model.eval()


def gguf_name(name: str, family: str) -> str:
    """llama.cpp's name of one of transformers' weights."""
    whole, _, suffix = name.rpartition(".")
    if "layers." in whole:
        _, number, part = whole.removeprefix("model.").split(".", 2)
        if part == "post_attention_layernorm":
            part = "post_attention_norm" if family == "gemma3" else "ffn_norm"
        return f"blk.{number}.{_NAMES.get(part, part)}.{suffix}"
    return f"{_NAMES[whole if whole in _NAMES else whole.removeprefix('model.')]}.{suffix}"


def _interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates neighbours, transformers the two halves of a head: its rows stand in another order."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


@dataclass
class TinyFile:
    """What is written, to be changed by a test before it is."""

    family: str
    kind: str = "F16"
    tied: bool = False
    split: str = "qwen2"
    settings: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def write(self, file: Path) -> Any:
        """Writes the file; returns the model with the weights that are in it, in fp32, rounded to bf16."""
        model, tokenizer = build_model(self.family, tied=self.tied), build_tokenizer(self.split)
        writer = gguf.GGUFWriter(file, self.family)
        for name, value in {**self._settings(model, tokenizer), **self.settings}.items():
            if name not in self.without:
                _add(writer, name, value)
        rounded = {}
        for name, weight in model.named_parameters():
            rounded[name] = self._add_weight(writer, name, weight.detach().numpy())
        for name, array in self.tensors.items():
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        model.load_state_dict(rounded, strict=False)
        return model

    def _add_weight(self, writer: Any, name: str, weight: np.ndarray) -> torch.Tensor:
        kind = KINDS[self.kind] if weight.ndim > 1 else KINDS["F32"]
        offset = 1.0 if self.family == "gemma3" and "norm" in name else 0.0
        values = weight + offset if offset else weight
        if self.family == "llama" and (heads := {"q": HEADS, "k": KEY_HEADS}.get(name.split(".")[-2][:1])):
            written = _interleaved(values, heads) if "_proj" in name else values
        else:
            written = values
        writer.add_tensor(gguf_name(name, self.family), quantize(written, kind), raw_dtype=kind)
        # What anybody reads there: blocks lie along a row, whatever the order of the rows.
        read = torch.from_numpy(np.array(dequantize(quantize(values, kind), kind))).reshape(weight.shape)
        return (read - offset).to(torch.bfloat16).float()

    def _settings(self, model: Any, tokenizer: Any) -> Mapping[str, Any]:
        own, config = self.family, model.config
        pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        found: dict[str, Any] = {
            f"{own}.block_count": config.num_hidden_layers,
            f"{own}.context_length": config.max_position_embeddings,
            f"{own}.embedding_length": config.hidden_size,
            f"{own}.feed_forward_length": config.intermediate_size,
            f"{own}.attention.head_count": config.num_attention_heads,
            f"{own}.attention.head_count_kv": config.num_key_value_heads,
            f"{own}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            f"{own}.rope.freq_base": 5000.0,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": self.split,
            "tokenizer.ggml.tokens": pieces,
            "tokenizer.ggml.token_type": [3 if piece in NAMES[3:] else 1 for piece in pieces],
            "tokenizer.ggml.merges": [" ".join(pair) for pair in MERGES],
            "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
            "tokenizer.ggml.padding_token_id": tokenizer.pad_token_id,
            "tokenizer.ggml.add_bos_token": False,
            "tokenizer.chat_template": tokenizer.chat_template,
        }
        if own == "llama":
            found["llama.rope.dimension_count"] = config.hidden_size // HEADS
        if own in ("qwen3", "gemma3"):
            found |= {f"{own}.attention.key_length": 32, f"{own}.attention.value_length": 32}
        if own == "gemma3":
            found["gemma3.attention.sliding_window"] = 8
        return found


def _add(writer: Any, name: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    elif isinstance(value, str):
        writer.add_string(name, value)
    else:
        writer.add_array(name, value)
