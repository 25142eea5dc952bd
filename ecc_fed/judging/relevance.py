"""Relevance of a reply to a query by a cross encoder: RocketQA (Qu et al., 2021) in the paper.

A bi-encoder stands in where no cross encoder is at hand: it reads query and reply apart, so it sees
that they share a subject, not that the one answers the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Array
from ecc_fed.judging.loading import OTHER_MODEL, check_limits, length_sorted_batches, open_judge, resolve_folder
from ecc_fed.judging.similarity import EncoderSimilarity, Pooling

Activation = Literal["softmax_1", "sigmoid"]
_LABELS = {"softmax_1": 2, "sigmoid": 1}


def activate(logits: torch.Tensor, activation: Activation) -> torch.Tensor:
    """(pairs, labels) logits -> (pairs,) in 0..1: softmax's second entry, or the sigmoid of the only one."""
    if activation == "softmax_1":
        return torch.softmax(logits, dim=-1)[:, 1]
    return torch.sigmoid(logits[:, 0])


class CrossEncoderRelevance:
    """`RelevanceModel` over one sequence classifier that reads (query, reply) together, in fp32.

    Args:
        path: a transformers folder, a hub name, or "embedded" for the tiny cross encoder of the package.
        activation: "softmax_1" for two labels (RocketQA's cross encoder), "sigmoid" for one (bge, bce).
        batch_size: pairs per forward pass; changes speed and memory, not scores.
        max_tokens: longer pairs are cut, the longer text first.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: the folder is incomplete, has no trained classifier, or another number of labels.
        ConfigError: an argument out of range.
    """

    def __init__(
        self,
        path: str = "embedded",
        activation: Activation = "sigmoid",
        batch_size: int = 64,
        max_tokens: int = 192,
        device: str = "auto",
    ) -> None:
        if activation not in get_args(Activation):
            raise ConfigError(
                f"judge relevance activation {activation!r} is unknown: use one of {get_args(Activation)}"
            )
        self.activation: Activation = activation
        self.batch_size, self.max_tokens = batch_size, max_tokens
        folder = resolve_folder(path, "relevance")
        opened = open_judge("classifier", folder, "relevance model", device)
        opened.require_weights(
            "it is no trained cross encoder; take a sequence classifier trained on (query, reply) pairs"
        )
        labels = opened.model.config.num_labels
        if labels != _LABELS[activation]:
            raise opened.refusal(
                f"has {labels} label(s), activation {activation} needs {_LABELS[activation]}",
                "use softmax_1 with two labels, sigmoid with one",
            )
        self.device, self._model, self._tokenizer = opened.device, opened.model, opened.tokenizer
        check_limits(max_tokens, batch_size, self._model, "relevance", folder)
        with opened.refusing(OTHER_MODEL):
            self.relevance(["?"], ["?"])

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), each in 0..1. Equal pairs are scored once.

        Raises:
            ValueError: `queries` and `replies` differ in length.
        """
        if len(queries) != len(replies):
            raise ValueError(f"relevance needs as many queries as replies, got {len(queries)} and {len(replies)}")
        pairs = list(zip(queries, replies, strict=True))
        unique = list(dict.fromkeys(pairs))
        scores = np.zeros(len(unique), dtype=np.float32)
        if unique:
            encoded = self._tokenizer(
                [query for query, _ in unique],
                [reply for _, reply in unique],
                truncation="longest_first",
                max_length=self.max_tokens,
            )
            for rows in length_sorted_batches([len(ids) for ids in encoded["input_ids"]], self.batch_size):
                scores[rows] = self._score_batch(
                    {name: [column[row] for row in rows] for name, column in encoded.items()}
                )
        place = {pair: row for row, pair in enumerate(unique)}
        return scores[[place[pair] for pair in pairs]]

    @torch.inference_mode()
    def _score_batch(self, columns: dict[str, list[list[int]]]) -> Array:
        batch = self._tokenizer.pad(columns, return_tensors="pt").to(self.device)
        scores: Array = activate(self._model(**batch).logits.float(), self.activation).cpu().numpy()
        return scores


class BiEncoderRelevance:
    """`RelevanceModel` over one encoder: the cosine of query and reply, mapped to 0..1.

    A dual encoder's own score (RocketQA's too) is a dot product without bounds, for which alpha and
    Theta of Eq. (1) mean nothing; a cosine with a declared range stays where they do.

    Args:
        path: a transformers folder, a hub name, "embedded" or "minilm".
        pooling: how hidden states become a vector, see `similarity.pool`. It belongs to the checkpoint.
        cosine_low: the cosine that counts as relevance 0, -1 <= cosine_low < cosine_high.
        cosine_high: the cosine that counts as relevance 1, at most 1.
        batch_size: texts per forward pass; changes speed and memory, not scores.
        max_tokens: longer texts are cut at the end.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: the folder is incomplete, or lacks the pooler that `pooling` needs.
        ConfigError: an argument out of range.
    """

    def __init__(
        self,
        path: str,
        pooling: Pooling = "mean",
        cosine_low: float = 0.0,
        cosine_high: float = 1.0,
        batch_size: int = 64,
        max_tokens: int = 128,
        device: str = "auto",
    ) -> None:
        self._encoder = EncoderSimilarity(path, pooling, cosine_low, cosine_high, batch_size, max_tokens, device)

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), each in 0..1.

        Raises:
            ValueError: `queries` and `replies` differ in length.
        """
        if len(queries) != len(replies):
            raise ValueError(f"relevance needs as many queries as replies, got {len(queries)} and {len(replies)}")
        return self._encoder.similarity(queries, replies)
