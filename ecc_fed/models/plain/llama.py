"""The weights of a Llama, under transformers' names, for an engine that has a forward pass of its own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ecc_fed.models.opening import OpenedModel
from ecc_fed.models.plain.opening import PlainConfig, open_plain, table


class Scale(nn.Module):
    """The vector of a root mean square norm."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.variance_epsilon = epsilon


class Rotary:
    """Angles of rotary positions: position / rope_theta^(2 i / head_dim), i = 0 .. head_dim / 2 - 1."""

    def __init__(self, rope_theta: float, head_dim: int, device: torch.device) -> None:
        self._frequencies = 1.0 / (rope_theta ** (torch.arange(0, head_dim, 2, dtype=torch.float) / head_dim))
        self._frequencies = self._frequencies.to(device)

    def __call__(self, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin (1, length, head_dim), each twice, of positions (1, length), in the dtype of `like`."""
        angles = positions[..., None].float() * self._frequencies
        angles = torch.cat((angles, angles), -1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _decoder(config: PlainConfig) -> nn.Module:
    width, inner, head_dim = config.hidden_size, config.intermediate_size, config.head_dim
    heads, kv_heads = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    decoder = nn.Module()
    decoder.embed_tokens = table(config.vocab_size, width)
    decoder.layers = nn.ModuleList()
    for _ in range(config.num_hidden_layers):
        block, attention, mlp = nn.Module(), nn.Module(), nn.Module()
        for name, d_out in {"q_proj": heads, "k_proj": kv_heads, "v_proj": kv_heads}.items():
            setattr(attention, name, nn.Linear(width, d_out, bias=False))
        attention.o_proj = nn.Linear(heads, width, bias=False)
        mlp.gate_proj, mlp.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        mlp.down_proj = nn.Linear(inner, width, bias=False)
        block.self_attn, block.mlp = attention, mlp
        for name in ("input_layernorm", "post_attention_layernorm"):
            setattr(block, name, Scale(width, config.rms_norm_eps))
        decoder.layers.append(block)
    decoder.norm = Scale(width, config.rms_norm_eps)
    return decoder


class LlamaWeights(nn.Module):
    """A causal Llama's modules, with `config` and `generation_config`; it computes nothing itself.

    Raises:
        Unusual: biases, untied output, or positions other than plain rotary ones.
    """

    model: Any

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        config.expect(
            model_type="llama",
            architectures=["LlamaForCausalLM"],
            tie_word_embeddings=True,
            attention_bias=False,
            mlp_bias=False,
            hidden_act="silu",
        )
        PlainConfig(**config.rope_parameters).expect(rope_type="default")
        self.config, self.generation_config = config, SimpleNamespace(eos_token_id=config.eos_token_id)
        self.model = _decoder(config)

    def get_input_embeddings(self) -> nn.Module:
        """The table of tokens."""
        table: nn.Module = self.model.embed_tokens
        return table


def open_llama(path: str, role: str, device: torch.device, dtype: torch.dtype) -> OpenedModel | None:
    """The Llama at `path`; None where it is none, or not plain."""
    opened = open_plain(path, LlamaWeights, role, device, dtype)
    if opened is None:
        return None
    model = opened.model
    config = model.config
    model.model.rotary_emb = Rotary(config.rope_parameters["rope_theta"], config.head_dim, device)
    model.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, device="meta")
    model.lm_head.weight = model.model.embed_tokens.weight
    file = Path(path).expanduser() / "generation_config.json"
    if file.is_file():
        model.generation_config = SimpleNamespace(**{"eos_token_id": None, **json.loads(file.read_text("utf-8"))})
    return opened
