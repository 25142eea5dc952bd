"""A frozen base as replies read it: activations in one dtype, its matrices dequantized once or at every product."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.packed_base import Layer, PackedBase, Stack


def matrices(base: PackedBase) -> list[FrozenMatrix]:
    """All that rows are multiplied by, the head included."""
    return [stack.matrix for layer in base.layers for stack in layer.stacks] + [base.head]


def dense_bytes(base: PackedBase, dtype: torch.dtype) -> int:
    """What the base's matrices in `dtype` take beside those that it holds; 0 where they are so already."""
    d_ins = [stack.d_in for layer in base.layers for stack in layer.stacks] + [base.embedding.shape[1]]
    return sum(
        matrix.d_out * d_in * dtype.itemsize
        for matrix, d_in in zip(matrices(base), d_ins, strict=True)
        if matrix.dense is None or matrix.dense.dtype != dtype
    )


def reading_base(base: PackedBase, dtype: torch.dtype, dense: bool) -> PackedBase:
    """The base with activations and products in `dtype`; norms keep their own.

    `dense`: its matrices are dequantized now, into memory that is given back with the result; else at every product.
    Matrices that are dense in `dtype` already are shared.
    """
    if dtype == base.dtype and not (dense and any(matrix.dense is None for matrix in matrices(base))):
        return base

    def matrix(old: FrozenMatrix) -> FrozenMatrix:
        bias = None if old.bias is None else old.bias.to(dtype)
        if old.dense is not None:
            return replace(old, dense=old.dense.to(dtype), bias=bias, dtype=dtype)
        if dense:
            return FrozenMatrix(old.weight().to(dtype, copy=True), (), bias, dtype)
        return replace(old, bias=bias, dtype=dtype)

    def stack(old: Stack) -> Stack:
        return replace(old, matrix=matrix(old.matrix))

    def layer(old: Layer) -> Layer:
        return replace(
            old,
            attention_in=stack(old.attention_in),
            attention_out=stack(old.attention_out),
            mlp_in=stack(old.mlp_in),
            mlp_out=stack(old.mlp_out),
        )

    # Angles are made anew, in this dtype.
    return replace(base, layers=[layer(old) for old in base.layers], head=matrix(base.head), dtype=dtype, _angles={})


def token_bytes(base: PackedBase, dtype: torch.dtype) -> int:
    """Keys and values of one token."""
    return 2 * len(base.layers) * base.kv_heads * base.head_dim * dtype.itemsize


def pass_bytes(base: PackedBase, tokens: int, rows: int, dtype: torch.dtype) -> int:
    """About what a pass over so many tokens takes, and the logits of so many rows; the largest matrix dequantized."""
    widest = max(stack.matrix.d_out for layer in base.layers for stack in layer.stacks)
    hidden = base.embedding.shape[1]
    largest = max(math.prod((stack.matrix.d_out, stack.d_in)) for layer in base.layers for stack in layer.stacks)
    logits = 4 * rows * base.head.d_out * torch.float32.itemsize
    return tokens * (3 * widest + 6 * hidden) * dtype.itemsize + 2 * largest * dtype.itemsize + logits
