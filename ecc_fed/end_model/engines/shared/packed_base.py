"""A frozen decoder as plain matrices: Llama, Qwen2, Qwen3 and GLM as transformers implements them.

Projections that read the same input (q, k, v; gate, up) become one matrix, so that one product
serves them all. The source model gives its weights away and is of no use afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

FAMILIES = ("llama", "qwen2", "qwen3", "glm")
# Rotary variants whose frequencies do not change with the length of a sequence.
_STATIC_ROPE = ("default", "linear", "llama3", "yarn")


class UnsupportedBase(Exception):
    """Why a base cannot be taken apart; the caller falls back to the peft engine."""


@dataclass(slots=True)
class FrozenMatrix:
    """W (d_out, d_in) of one or more stacked projections, dense or as bitsandbytes modules.

    `dtype` is the dtype of products with W; what goes in and comes out keeps its own.
    """

    dense: Tensor | None
    quantized: Sequence[Any]
    bias: Tensor | None
    dtype: torch.dtype

    def weight(self) -> Tensor:
        """W, dequantized if need be: call it once for all rows."""
        if self.dense is not None:
            return self.dense
        return torch.cat([_dequantize(module, self.dtype) for module in self.quantized])

    def product(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x W^T + bias + residual: (N, d_in) -> (N, d_out)."""
        weight = self.weight()
        if weight.dtype == x.dtype:
            start = residual if residual is not None else self.bias
            y = x @ weight.t() if start is None else torch.addmm(start, x, weight.t())
            return y.add_(self.bias) if residual is not None and self.bias is not None else y
        y = (x.to(weight.dtype) @ weight.t()).to(x.dtype)
        for part in (self.bias, residual):
            if part is not None:
                y += part
        return y

    def transposed(self, dy: Tensor) -> Tensor:
        """dy W: (N, d_out) -> (N, d_in)."""
        weight = self.weight()
        return dy @ weight if weight.dtype == dy.dtype else (dy.to(weight.dtype) @ weight).to(dy.dtype)


@dataclass(frozen=True, slots=True)
class Projection:
    """One projection inside a stacked matrix: its module name and its rows of the output."""

    name: str
    start: int
    stop: int


@dataclass(slots=True)
class Stack:
    """Projections that share one input."""

    matrix: FrozenMatrix
    d_in: int
    projections: tuple[Projection, ...]


@dataclass(slots=True)
class Layer:
    """One decoder block."""

    attention_norm: Tensor
    attention_in: Stack
    query_norm: Tensor | None
    key_norm: Tensor | None
    attention_out: Stack
    mlp_norm: Tensor
    mlp_in: Stack
    mlp_out: Stack

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The four stacks that may bear adapters, in the order of the forward pass."""
        return self.attention_in, self.attention_out, self.mlp_in, self.mlp_out


@dataclass(slots=True)
class PackedBase:
    """A frozen decoder: `layers` between an embedding and a head."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: FrozenMatrix
    epsilon: float
    heads: int
    kv_heads: int
    head_dim: int
    rotary: Any
    interleaved: bool
    dtype: torch.dtype
    device: torch.device
    _angles: tuple[Tensor, Tensor] | None = field(default=None)

    def angles(self, length: int) -> tuple[Tensor, Tensor]:
        """cos and sin (length, rotary dims / 2) of positions 0 to length - 1."""
        if self._angles is None or self._angles[0].shape[0] < length:
            with torch.inference_mode(False), torch.no_grad():
                positions = torch.arange(max(length, 512), device=self.device)[None]
                cos, sin = self.rotary(torch.zeros((), dtype=self.dtype, device=self.device), positions)
            half = cos.shape[-1] // 2
            self._angles = cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous()
        return self._angles[0][:length], self._angles[1][:length]


def check_supported(config: Any, target_modules: str | Sequence[str]) -> None:
    """Says why a base cannot be taken apart.

    Raises:
        UnsupportedBase: another family, a feature that only some of its members have, or adapters
            on modules other than the attention's and the MLP's projections.
    """
    if config.model_type not in FAMILIES:
        raise UnsupportedBase(f"its model type is {config.model_type}, not one of {', '.join(FAMILIES)}")
    rope = config.rope_parameters.get("rope_type", "default")
    if rope not in _STATIC_ROPE:
        raise UnsupportedBase(f"its rotary type {rope} depends on the length of a sequence")
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise UnsupportedBase("it has sliding-window attention")
    if config.attention_dropout:
        raise UnsupportedBase(f"it drops attention weights in training (attention_dropout={config.attention_dropout})")
    if config.hidden_act != "silu":
        raise UnsupportedBase(f"its activation is {config.hidden_act}, not silu")
    if isinstance(target_modules, str):
        return
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}
    names |= {"gate_up_proj"} if config.model_type == "glm" else {"gate_proj", "up_proj"}
    unknown = sorted(set(target_modules) - names)
    if unknown:
        raise UnsupportedBase(f"an adapter is wanted on {unknown[0]}")


def take_apart(model: Any, device: torch.device, product_dtype: torch.dtype | None = None) -> PackedBase:
    """Moves a causal LM's weights into a `PackedBase`.

    Activations are fp32 (fp64 for an fp64 model). `product_dtype` is the dtype of products with
    frozen matrices; None keeps the weights' own (a quantized base: that of the activations on a
    CPU, bf16 on a GPU).
    """
    config, decoder = model.config, model.model
    dtype = torch.float64 if decoder.norm.weight.dtype == torch.float64 else torch.float32
    layers = []
    for index, block in enumerate(decoder.layers):
        attention, mlp = block.self_attn, block.mlp
        mlp_in = ["gate_up_proj"] if config.model_type == "glm" else ["gate_proj", "up_proj"]
        prefix = f"model.layers.{index}"
        layers.append(
            Layer(
                attention_norm=_vector(block.input_layernorm, dtype),
                attention_in=_stack(
                    attention, f"{prefix}.self_attn", ["q_proj", "k_proj", "v_proj"], dtype, product_dtype
                ),
                query_norm=_vector(getattr(attention, "q_norm", None), dtype),
                key_norm=_vector(getattr(attention, "k_norm", None), dtype),
                attention_out=_stack(attention, f"{prefix}.self_attn", ["o_proj"], dtype, product_dtype),
                mlp_norm=_vector(block.post_attention_layernorm, dtype),
                mlp_in=_stack(mlp, f"{prefix}.mlp", mlp_in, dtype, product_dtype),
                mlp_out=_stack(mlp, f"{prefix}.mlp", ["down_proj"], dtype, product_dtype),
            )
        )
    head = _stack(model, "", ["lm_head"], dtype, product_dtype).matrix
    embedding = decoder.embed_tokens.weight.detach()
    if config.tie_word_embeddings and head.dense is not None and head.dtype == embedding.dtype:
        embedding = head.dense
    return PackedBase(
        embedding=embedding,
        layers=layers,
        norm=_vector(decoder.norm, dtype),
        head=head,
        epsilon=decoder.norm.variance_epsilon,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        rotary=decoder.rotary_emb,
        interleaved=config.model_type == "glm",
        dtype=dtype,
        device=device,
    )


def _vector(norm: Any, dtype: torch.dtype) -> Any:
    return None if norm is None else norm.weight.detach().to(dtype)


def _stack(parent: Any, prefix: str, names: list[str], dtype: torch.dtype, product_dtype: torch.dtype | None) -> Stack:
    modules = [getattr(parent, name) for name in names]
    projections, start = [], 0
    for name, module in zip(names, modules, strict=True):
        projections.append(Projection(f"{prefix}.{name}", start, start + module.out_features))
        start += module.out_features
    biases = [module.bias for module in modules]
    bias = None if any(b is None for b in biases) else torch.cat([b.detach().to(dtype) for b in biases])
    d_in = modules[0].in_features
    if all(type(module) is torch.nn.Linear for module in modules):
        weights = [module.weight.detach() for module in modules]
        wanted = product_dtype or weights[0].dtype
        # A single matrix is shared, not copied (it may be tied to the embedding).
        dense = weights[0].to(wanted) if len(weights) == 1 else torch.cat([weight.to(wanted) for weight in weights])
        for module in modules:
            module.weight = None  # Freed at once: two copies of a large base may not fit.
        matrix = FrozenMatrix(dense, (), bias, wanted)
    else:
        on_gpu = modules[0].weight.device.type == "cuda"
        wanted = product_dtype or (torch.bfloat16 if on_gpu else dtype)
        matrix = FrozenMatrix(None, tuple(modules), bias, wanted)
    return Stack(matrix, d_in, tuple(projections))


def _dequantize(module: Any, dtype: torch.dtype) -> Tensor:
    """A bitsandbytes linear layer's weight (d_out, d_in)."""
    import bitsandbytes

    weight = module.weight
    if weight.dtype == torch.int8:
        # LLM.int8 (Dettmers et al. 2022): absolute maxima per row, 127 steps.
        scale = weight.SCB if weight.SCB is not None else module.state.SCB
        rows: Tensor = weight.data.to(dtype) * (scale.to(dtype) / 127)[:, None]
        return rows
    dequantize: Any = bitsandbytes.functional.dequantize_4bit
    whole: Tensor = dequantize(weight.data, weight.quant_state).to(dtype)
    return whole
