"""Speaks as presidio-analyzer 2.2.366 does, as far as it is asked here; word boundaries and scores are as there."""

from __future__ import annotations

from . import predefined_recognizers
from .nlp_engine import NoOpNlpEngine
from .predefined_recognizers import RecognizerResult

__all__ = ["AnalyzerEngine", "RecognizerRegistry", "RecognizerResult", "predefined_recognizers"]


class RecognizerRegistry:
    def __init__(self, recognizers=None, global_regex_flags=26, supported_languages=None):
        self.recognizers = list(recognizers or [])
        self.supported_languages = supported_languages or ["en"]


class AnalyzerEngine:
    def __init__(self, registry=None, nlp_engine=None, app_tracer=None, supported_languages=None):
        assert isinstance(nlp_engine, NoOpNlpEngine), "any other would load a model"
        assert registry.supported_languages == supported_languages
        self.registry, self.nlp_engine = registry, nlp_engine

    def get_supported_entities(self, language=None):
        of_language = [each for each in self.registry.recognizers if each.supported_language == language]
        return sorted({entity for each in of_language for entity in each.supported_entities})

    def analyze(self, text, language, entities=None, correlation_id=None, score_threshold=None):
        assert language in self.nlp_engine.languages
        found = []
        for each in self.registry.recognizers:
            if each.supported_language == language and set(each.supported_entities) & set(entities):
                found += each.analyze(text, entities)
        return [each for each in found if each.score >= (score_threshold or 0)]
