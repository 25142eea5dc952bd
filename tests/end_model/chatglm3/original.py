"""The original ChatGLM3 in plain torch, and small random checkpoints in its naming.

Written from the architecture, not from transformers: fused projections, multi-query groups, rotary
pairs over the first half of a head, RMS norms, gated MLP. It is the reference of the tests.
"""

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

PIECES_WANTED = 1100
TEXT = (
    "亲，这款坚果礼盒今天下单，后天就能到。请问您的收货地址是哪里呢？我们默认发顺丰快递，江浙沪包邮。",
    "您好，退货的话七天无理由，运费险已经送您了。客官稍等，我查一下库存。这件衣服有红色、蓝色、黑色三种颜色。",
    "满一百减二十的优惠券可以和店铺活动一起用吗？可以的亲，直接在结算页面勾选就行了。快递单号发我一下。",
    "the customer asks whether the parcel will arrive before friday, and the shop answers that it takes two days",
    "please tell me the price of this jacket: can I return it within seven days? the order is 8841-2270, 3.14 or 99.9",
    "def main(items):    return [item for item in items if item.price > 12345]  # <user> and <assistant> are words",
    "aaaa aaaaaaa ........ ======= 2024-07-26 hello hello goodbye goodbye",
)

CONFIG: dict[str, Any] = {
    "_name_or_path": "THUDM/chatglm3-6b",
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig"},
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "ffn_hidden_size": 40,
    "fp32_residual_connection": False,
    "hidden_dropout": 0.0,
    "hidden_size": 32,
    "kv_channels": 16,
    "layernorm_epsilon": 1e-05,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 4,
    "num_layers": 3,
    "original_rope": True,
    "padded_vocab_size": 1152,
    "post_layer_norm": True,
    "rmsnorm": True,
    "seq_length": 512,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.30.2",
    "use_cache": True,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def train_pieces(text: Sequence[str] = TEXT, vocab_size: int = PIECES_WANTED, **options: Any) -> bytes:
    """A byte-fallback BPE `tokenizer.model` with ChatGLM3's settings."""
    settings = {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "character_coverage": 1.0,
        "hard_vocab_limit": False,
        "minloglevel": 2,
        "num_threads": 1,
        **options,
    }
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=content, vocab_size=vocab_size, **settings
    )
    return content.getvalue()


def append_piece(model: bytes, text: str, score: float) -> bytes:
    """A `tokenizer.model` with one more normal piece (a field of its protobuf message)."""
    encoded = text.encode()
    assert len(encoded) < 110
    piece = bytes([0x0A, len(encoded)]) + encoded + b"\x15" + struct.pack("<f", score) + b"\x18\x01"
    return model + bytes([0x0A, len(piece)]) + piece


def random_weights(config: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """fp32 weights in the original naming, the unused rotary buffer included."""
    generator = torch.Generator().manual_seed(seed)
    hidden, wide = config["hidden_size"], config["ffn_hidden_size"]
    queries = config["num_attention_heads"] * config["kv_channels"]
    fused = queries + 2 * config["multi_query_group_num"] * config["kv_channels"]

    def matrix(rows: int, columns: int, scale: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * scale / columns**0.5

    def vector(size: int, around: float) -> Tensor:
        return around + 0.3 * torch.randn(size, generator=generator)

    weights = {
        "transformer.embedding.word_embeddings.weight": matrix(config["padded_vocab_size"], hidden, 2.0),
        "transformer.rotary_pos_emb.inv_freq": torch.ones(config["kv_channels"] // 4),
    }
    for layer in range(config["num_layers"]):
        prefix = f"transformer.encoder.layers.{layer}"
        weights |= {
            f"{prefix}.input_layernorm.weight": vector(hidden, 1.0),
            f"{prefix}.self_attention.query_key_value.weight": matrix(fused, hidden),
            f"{prefix}.self_attention.query_key_value.bias": vector(fused, 0.0),
            f"{prefix}.self_attention.dense.weight": matrix(hidden, queries),
            f"{prefix}.post_attention_layernorm.weight": vector(hidden, 1.0),
            f"{prefix}.mlp.dense_h_to_4h.weight": matrix(2 * wide, hidden),
            f"{prefix}.mlp.dense_4h_to_h.weight": matrix(hidden, wide),
        }
    weights["transformer.encoder.final_layernorm.weight"] = vector(hidden, 1.0)
    weights["transformer.output_layer.weight"] = matrix(config["padded_vocab_size"], hidden)
    return weights


def write_checkpoint(
    folder: Path,
    weights: dict[str, Tensor],
    config: dict[str, Any],
    pieces: bytes,
    kind: str = "safetensors",
    shards: int = 3,
) -> Path:
    """An original checkpoint folder; one shard has no index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(pieces)
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    names = list(weights)
    files = {f"{stem}-{i + 1:05d}-of-{shards:05d}.{suffix}": names[i::shards] for i in range(shards)}
    if shards == 1:
        files = {f"{stem}.{suffix}": names}
    else:
        index = {"metadata": {}, "weight_map": {name: file for file, held in files.items() for name in held}}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    for file, held in files.items():
        tensors = {name: weights[name] for name in held}
        if kind == "safetensors":
            save_file(tensors, folder / file)
        else:
            torch.save(tensors, folder / file)
    return folder


def forward(weights: dict[str, Tensor], config: dict[str, Any], ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """Logits (batch, tokens, vocabulary) for ids (batch, tokens); mask is 0 on left padding."""
    batch, tokens = ids.shape
    heads, groups, width = config["num_attention_heads"], config["multi_query_group_num"], config["kv_channels"]
    mask = torch.ones_like(ids) if mask is None else mask
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    # Padding rows see everything: what they compute is never looked at, but must not be NaN.
    visible = (causal[None] & mask[:, None, :].bool()) | ~mask[:, :, None].bool()
    hidden = weights["transformer.embedding.word_embeddings.weight"][ids]
    for layer in range(config["num_layers"]):
        own = {name.split(f"layers.{layer}.")[-1]: value for name, value in weights.items() if f".{layer}." in name}
        normed = _rms_norm(hidden, own["input_layernorm.weight"], config)
        fused = normed @ own["self_attention.query_key_value.weight"].T + own["self_attention.query_key_value.bias"]
        query, key, value = fused.split([heads * width, groups * width, groups * width], dim=-1)
        query = _rotate(query.view(batch, tokens, heads, width), positions, config)
        key = _rotate(key.view(batch, tokens, groups, width), positions, config)
        key = key.repeat_interleave(heads // groups, dim=2)
        value = value.view(batch, tokens, groups, width).repeat_interleave(heads // groups, dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / width**0.5
        weighting = scores.masked_fill(~visible[:, None], float("-inf")).softmax(-1)
        context = torch.einsum("bhqk,bkhd->bqhd", weighting, value).reshape(batch, tokens, heads * width)
        hidden = hidden + context @ own["self_attention.dense.weight"].T
        normed = _rms_norm(hidden, own["post_attention_layernorm.weight"], config)
        gate, up = (normed @ own["mlp.dense_h_to_4h.weight"].T).chunk(2, dim=-1)
        hidden = hidden + (functional.silu(gate) * up) @ own["mlp.dense_4h_to_h.weight"].T
    hidden = _rms_norm(hidden, weights["transformer.encoder.final_layernorm.weight"], config)
    return hidden @ weights["transformer.output_layer.weight"].T


def greedy(weights: dict[str, Tensor], config: dict[str, Any], ids: list[int], steps: int, ends: set[int]) -> list[int]:
    """Greedily drawn ids after the prompt `ids`, up to and with the first end id."""
    drawn: list[int] = []
    while len(drawn) < steps:
        drawn.append(int(forward(weights, config, torch.tensor([ids + drawn]))[0, -1].argmax()))
        if drawn[-1] in ends:
            break
    return drawn


def chat_ids(processor: Any, dialogue: Sequence[tuple[str, str]]) -> list[int]:
    """What the original's `build_chat_input` gives: every segment encoded on its own."""
    first = processor.get_piece_size()
    roles = {"system": first + 5, "user": first + 6, "assistant": first + 7}
    ids = [first + 1, first + 3]
    for role, text in dialogue:
        ids += [roles[role], *processor.encode("\n"), *processor.encode(text)]
    return [*ids, roles["assistant"]]


def _rms_norm(hidden: Tensor, weight: Tensor, config: dict[str, Any]) -> Tensor:
    variance = hidden.pow(2).mean(-1, keepdim=True)
    return weight * hidden * torch.rsqrt(variance + config["layernorm_epsilon"])


def _rotate(x: Tensor, positions: Tensor, config: dict[str, Any]) -> Tensor:
    """Rotates the pairs (0, 1), (2, 3), … of the first half of every head; x is (batch, tokens, heads, width)."""
    rotated = x.shape[-1] // 2
    base = 10000.0 * config.get("rope_ratio", 1)
    frequencies = base ** -(torch.arange(0, rotated, 2) / rotated)
    angles = (positions[..., None] * frequencies)[:, :, None, :]
    even, odd = x[..., 0:rotated:2], x[..., 1:rotated:2]
    turned = torch.stack([even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin()], dim=-1)
    return torch.cat([turned.flatten(-2), x[..., rotated:]], dim=-1)
