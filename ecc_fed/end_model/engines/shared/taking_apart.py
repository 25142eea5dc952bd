"""Takes a transformers model apart: it gives its weights to a `PackedBase` and is of no use afterwards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ecc_fed.end_model.engines.shared.compute_plan import ComputePlan, plan_for
from ecc_fed.end_model.engines.shared.families import FAMILIES, ropes, windows
from ecc_fed.end_model.engines.shared.frozen_matrix import Buffers, FrozenMatrix
from ecc_fed.end_model.engines.shared.packed_base import Layer, PackedBase, Projection, Stack
from ecc_fed.end_model.engines.shared.row_functions import GATED
from ecc_fed.end_model.engines.shared.support import longest_sequence

_LOG = logging.getLogger(__name__)


def take_apart(
    model: Any, device: torch.device, product_dtype: torch.dtype | None = None, plan: ComputePlan | None = None
) -> PackedBase:
    """Moves a causal LM's weights into a `PackedBase`.

    Adapters, norms and losses are fp32 (fp64 for an fp64 model). `product_dtype` is the dtype of products with frozen
    matrices; None keeps the weights' own (a quantized base: that of the activations on a CPU, bf16 on a GPU). `plan` is
    how passes are computed; None takes the device's.
    """
    plan = plan or plan_for(device)
    config, decoder = model.config, model.model
    family = FAMILIES[config.model_type]
    dtype = torch.float64 if decoder.norm.weight.dtype == torch.float64 else torch.float32
    buffers: Buffers = {}
    quantized_products, uncached_from = product_dtype or plan.quantized_products, plan.uncached_from

    def vector(parent: Any, name: str | None) -> Any:
        norm = None if name is None else getattr(parent, name, None)
        return None if norm is None else _vector(norm, family.norm_offset, dtype)

    def stack(parent: Any, prefix: str, names: Sequence[str]) -> Stack:
        made = _stack(parent, prefix, names, dtype, quantized_products, product_dtype, buffers)
        if made.matrix.lies_in_memory(uncached_from):
            # Of the head there is no second copy for a moment, and a tied one's rows are read as embeddings, too.
            made.matrix.suit_few_rows(stays=names == ["lm_head"])
        return made

    module_order = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in family.projections]
    layers = []
    for index, (block, window, rope) in enumerate(
        zip(decoder.layers, windows(config, family), ropes(config, family), strict=True)
    ):
        attention, mlp = block.self_attn, block.mlp
        prefix = f"model.layers.{index}"
        layers.append(
            Layer(
                attention_norm=vector(block, "input_layernorm"),
                attention_in=stack(attention, f"{prefix}.self_attn", family.query_key_value),
                query_norm=vector(attention, "q_norm"),
                key_norm=vector(attention, "k_norm"),
                attention_out=stack(attention, f"{prefix}.self_attn", ["o_proj"]),
                mlp_norm=vector(block, family.before_mlp),
                mlp_in=stack(mlp, f"{prefix}.mlp", family.gate_up),
                mlp_out=stack(mlp, f"{prefix}.mlp", ["down_proj"]),
                window=window,
                rope=rope,
                behind_attention=vector(block, family.behind_attention),
                behind_mlp=vector(block, family.behind_mlp),
            )
        )
    if plan.grouped is not None and not all(_by_16_bytes(each) for layer in layers for each in layer.stacks):
        _LOG.warning("adapter products are padded, which is slower: a width of this base is no multiple of 8")
        plan = replace(plan, grouped=None)
    head = stack(model, "", ["lm_head"]).matrix
    embedding = decoder.embed_tokens.weight.detach()
    embedding_scale = getattr(decoder.embed_tokens, "embed_scale", None)
    if config.tie_word_embeddings and head.dense is not None and head.dtype == embedding.dtype:
        embedding = head.dense
    activation = getattr(config, family.activation)
    names = {rope for rope in ropes(config, family) if rope is not None}
    return PackedBase(
        embedding=embedding,
        layers=layers,
        norm=vector(decoder, "norm"),
        head=head,
        epsilon=config.rms_norm_eps,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        rotary={
            name: partial(decoder.rotary_emb, layer_type=name) if family.rope_by_layer_type else decoder.rotary_emb
            for name in names
        },
        interleaved=family.interleaved,
        dtype=dtype,
        device=device,
        module_order=module_order,
        gated=plan.rows.swiglu if activation == "silu" else GATED[activation],
        # In the dtype of the weights, as transformers has it.
        embedding_scale=None if embedding_scale is None else float(embedding_scale.to(embedding.dtype)),
        score_scale=None if family.score_scalar is None else getattr(config, family.score_scalar) ** -0.5,
        logit_cap=getattr(config, "final_logit_softcapping", None),
        positions=longest_sequence(config),
        plan=plan,
    )


def _by_16_bytes(stack: Stack) -> bool:
    """Whether rows of bf16 numbers, and every projection's part of them, can be read 16 bytes at a time."""
    return all(width % 8 == 0 for width in (stack.d_in, *(each.stop for each in stack.projections)))


def _vector(norm: Any, offset: float, dtype: torch.dtype) -> Any:
    weight = norm.weight.detach().to(dtype)
    return weight if not offset else weight + offset


def _bias(module: Any, dtype: torch.dtype) -> torch.Tensor:
    if module.bias is None:
        return torch.zeros(module.out_features, dtype=dtype, device=module.weight.device)
    bias: torch.Tensor = module.bias.detach().to(dtype)
    return bias


def _stack(
    parent: Any,
    prefix: str,
    names: Sequence[str],
    dtype: torch.dtype,
    quantized_products: torch.dtype | None,
    product_dtype: torch.dtype | None,
    buffers: Buffers,
) -> Stack:
    modules = [getattr(parent, name) for name in names]
    projections, start = [], 0
    for name, module in zip(names, modules, strict=True):
        projections.append(Projection(f"{prefix}.{name}", start, start + module.out_features))
        start += module.out_features
    bias = None
    if any(module.bias is not None for module in modules):
        bias = torch.cat([_bias(module, dtype) for module in modules])
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
        matrix = FrozenMatrix(None, tuple(modules), bias, quantized_products or dtype, buffers)
    return Stack(matrix, d_in, tuple(projections))
