"""A token classifier from a local Hugging Face folder: BERT and the like, whose head gives every token a label.

Models that write the hidden text anew (HaS and other generative ones) are another kind and are not opened here. Nothing
is fetched, and the model runs on the CPU: what it finds in a turn depends on that turn's text alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ecc_fed.core.ranges import require, require_number
from ecc_fed.privacy.redaction.draft import Draft, Place
from ecc_fed.privacy.redaction.engines import EngineRedaction, check_engine
from ecc_fed.privacy.redaction.labels import read_tags
from ecc_fed.privacy.redaction.placeholders import Language

# Texts whose values are kept: dialogues are asked about turn by turn, and few-shot examples again and again.
_REMEMBERED = 4096


class ModelRedaction(EngineRedaction):
    """Finds what the order record holds, then what a token classifier does.

    Args:
        path: the model's folder.
        language: zh or en, of the placeholders.
        patterns: our own patterns read what the model left.
        min_score: the model's findings of which it is less sure are left alone; 0 to 1.
        labels: a class, or null for none, for labels that the table in `labels` does not know, or knows otherwise.
        window_tokens: how many tokens are read at once, those at the ends that every text has included.
        overlap_tokens: how many of them are read again in the next window, less than half of it.
        batch_size: windows in one forward pass.

    Raises:
        ConfigError: a value out of range.
        ModelError: the folder has no such model.
    """

    name = "model"

    def __init__(
        self,
        path: str,
        language: Language = "zh",
        patterns: bool = True,
        min_score: float = 0.5,
        labels: Mapping[str, str | None] | None = None,
        window_tokens: int = 256,
        overlap_tokens: int = 64,
        batch_size: int = 8,
    ) -> None:
        super().__init__(language, patterns, min_score)
        sizes = (window_tokens, overlap_tokens, batch_size)
        self.check_settings(path, language, patterns, min_score, labels, *sizes)
        # With torch, which no check waits for.
        from ecc_fed.privacy.redaction.token_classifier import TokenClassifier

        classifier = TokenClassifier(path, read_tags(path, labels or {}), *sizes)
        self._spans = lru_cache(_REMEMBERED)(classifier.spans)

    @staticmethod
    def check_settings(
        path: str,
        language: Language | None = None,
        patterns: bool = True,
        min_score: float = 0.5,
        labels: Mapping[str, str | None] | None = None,
        window_tokens: int = 256,
        overlap_tokens: int = 64,
        batch_size: int = 8,
    ) -> None:
        """Passes what a redaction can be made of; of the folder only the config is read.

        Raises:
            ConfigError: as the class.
            ModelError: as the class, as far as the config tells.
        """
        check_engine(patterns, min_score)
        _require_count("window_tokens", window_tokens, 16)
        _require_count("overlap_tokens", overlap_tokens, 0, window_tokens // 2 - 4)
        _require_count("batch_size", batch_size, 1)
        read_tags(path, labels or {})

    def _places(self, draft: Draft, turn: int) -> Sequence[tuple[str, Place]]:
        return [
            (span.kind, draft.place_of(turn, span.start, span.stop))
            for span in self._spans(draft.left(turn))
            if span.score >= self._min_score
        ]


def _require_count(name: str, value: object, low: int, high: float = math.inf) -> None:
    require(isinstance(value, int), f"redaction.{name}", value, "a whole number")
    require_number(f"redaction.{name}", value, low, high)
