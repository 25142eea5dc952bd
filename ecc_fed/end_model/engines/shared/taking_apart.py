"""Takes a transformers model apart: it gives its weights to a `PackedBase` and is of no use afterwards."""

from __future__ import annotations

from typing import Any

import torch

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.packed_base import Layer, PackedBase, Projection, Stack


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
        wanted = product_dtype or plan_for(modules[0].weight.device).quantized_products or dtype
        matrix = FrozenMatrix(None, tuple(modules), bias, wanted)
    return Stack(matrix, d_in, tuple(projections))
