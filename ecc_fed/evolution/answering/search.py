"""Which of a shop's own examples are nearest to a query: by the characters they share, or by an encoder's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.ranges import require_one_of
from ecc_fed.core.records import Asked, OwnExample
from ecc_fed.evolution.nearest import NearestTexts

Match = Literal["question", "question_and_answer"]
# Equal texts must tie although a matrix product rounds row by row.
_DECIMALS = 5


class Search:
    """Finds the nearest of a shop's examples.

    A context is no part of it: held against whole dialogues, queries find less (experiments/floors).

    Args:
        match: what a query is held against: the examples' questions, or question and answer of each as one text.
        encoder: cosines between its vectors count; None: between TF-IDF weights of characters and bigrams.

    Raises:
        ConfigError: another `match`, or an encoder that cannot encode.
    """

    def __init__(self, match: Match = "question_and_answer", encoder: TextEncoder | None = None) -> None:
        require_one_of("answering.match", match, get_args(Match))
        if isinstance(encoder, str) or (encoder is not None and not callable(getattr(encoder, "encode", None))):
            raise ConfigError(
                f"answering.encoder={encoder} has no vectors of texts. Set answering.encoder=null to go by shared "
                "characters, judge to go by a judge that encodes texts, or a class with `encode` by its _target_"
            )
        self._match, self._encoder = match, encoder

    def nearest(self, asked: Sequence[Asked], known: Sequence[OwnExample], count: int) -> list[list[OwnExample]]:
        """For each query at most `count` examples, the nearest last; of equally near ones the later is nearer."""
        if not asked or not known:
            return [[] for _ in asked]
        found = []
        for each, scores in zip(asked, self._similarities(asked, known), strict=True):
            order = np.argsort(scores, kind="stable").tolist()
            allowed = [known[place] for place in order if known[place].pair_id != each.leave_out]
            found.append(allowed[max(0, len(allowed) - count) :])
        return found

    def _similarities(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[npt.NDArray[np.float64]]:
        """For each query (known,), cosines."""
        with_answer = self._match == "question_and_answer"
        texts = [f"{example.query} {example.reply}" if with_answer else example.query for example in known]
        if self._encoder is None:
            index = NearestTexts(texts)
            return [index.similarities(each.query) for each in asked]
        vectors = self._encoder.encode([*texts, *(each.query for each in asked)]).astype(np.float64)
        return list((vectors[len(texts) :] @ vectors[: len(texts)].T).round(_DECIMALS))
