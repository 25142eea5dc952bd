"""Microsoft's presidio-analyzer with its own pattern recognisers: `pip install 'ecc-fed[presidio]'`.

No language model: the no-op NLP engine stands in its place, so names and addresses, which presidio leaves to one, are
not found, and words around a value raise no score. Nothing is fetched: the e-mail recogniser, which would ask the
network for the list of domains, reads the one in its package.

Presidio's patterns end in word boundaries, and to them 话 of 电话4111… is a letter of the same word. So Chinese letters
are read as full stops, which changes no place.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ecc_fed.core.errors import ConfigError
from ecc_fed.privacy.redaction.draft import Draft, Place
from ecc_fed.privacy.redaction.engines import EngineRedaction, check_engine
from ecc_fed.privacy.redaction.placeholders import Language

# Presidio's types of entities by our classes. Addresses of pages and dates are nobody's secret.
CLASSES: Mapping[str, str] = {
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "bank_card",
    "IBAN_CODE": "bank_card",
    "US_BANK_NUMBER": "bank_card",
    "CRYPTO": "account",
    "US_SSN": "id_card",
    "US_ITIN": "id_card",
    "US_PASSPORT": "id_card",
    "US_DRIVER_LICENSE": "id_card",
    "UK_NHS": "id_card",
    "UK_NINO": "id_card",
    "IP_ADDRESS": "number",
    "MAC_ADDRESS": "number",
}
# By language: whose telephones, and which recognisers beside those of no country. Presidio has none of China.
_REGIONS: Mapping[Language, tuple[str, ...]] = {
    "zh": ("CN", "HK", "MO", "TW"),
    "en": ("US", "CA", "GB", "AU", "CN"),
}
_ANYWHERE = ("CreditCardRecognizer", "IbanRecognizer", "CryptoRecognizer", "IpRecognizer", "MacAddressRecognizer")
_COUNTRY: Mapping[Language, tuple[str, ...]] = {
    "zh": (),
    "en": (
        "UsBankRecognizer",
        "UsSsnRecognizer",
        "UsItinRecognizer",
        "UsPassportRecognizer",
        "UsLicenseRecognizer",
        "NhsRecognizer",
        "UkNinoRecognizer",
    ),
}
_HAN = re.compile("[\u3400-\u9fff]")
_APART = "。"
# Characters that are read at once, and how many of them again with the next: some of presidio's patterns take time with
# the square of a text, and are given up after a minute.
_PIECE, _OVERLAP = 2048, 256


class PresidioRedaction(EngineRedaction):
    """Finds what the order record holds, then what presidio's patterns do.

    Args:
        language: zh or en, of the placeholders and of presidio's recognisers.
        patterns: our own patterns read what presidio left; without them names, addresses, orders and parcels are found
            by the order record alone.
        min_score: presidio's findings below this are left alone; a telephone has 0.4, digits that may be a bank's or a
            passport's 0.05.

    Raises:
        ConfigError: presidio-analyzer is not installed, or a value out of range.
    """

    name = "presidio"

    def __init__(self, language: Language = "zh", patterns: bool = True, min_score: float = 0.4) -> None:
        super().__init__(language, patterns, min_score)
        self.check_settings(language, patterns, min_score)
        self._analyzer = analyzer_of(language)
        self._entities = sorted(CLASSES.keys() & set(self._analyzer.get_supported_entities(language)))

    @staticmethod
    def check_settings(language: Language | None = None, patterns: bool = True, min_score: float = 0.4) -> None:
        """Passes what a redaction can be made of; presidio is looked for and not imported.

        Raises:
            ConfigError: as the class.
        """
        check_engine(patterns, min_score)
        if importlib.util.find_spec("presidio_analyzer") is None:
            raise ConfigError(
                "redaction=presidio needs the package presidio-analyzer, which is not installed: "
                "pip install 'ecc-fed[presidio]', or take redaction=order_record."
            )

    def _places(self, draft: Draft, turn: int) -> Sequence[tuple[str, Place]]:
        text = _HAN.sub(_APART, draft.plain[turn])
        found = [
            (-each.score, start + each.start, start + each.end, CLASSES[each.entity_type])
            for start in range(0, max(1, len(text) - _OVERLAP), _PIECE - _OVERLAP)
            for each in self._analyzer.analyze(
                text[start : start + _PIECE],
                language=self._language,
                entities=self._entities,
                score_threshold=self._min_score,
            )
        ]
        # Of what overlaps the surest, then the longest: a value that a piece cut off is whole in the next.
        found.sort(key=lambda each: (each[0], each[1] - each[2], each[1], each[3]))
        return [(kind, Place(turn, start, stop)) for _, start, stop, kind in found]


def analyzer_of(language: Language) -> Any:
    """An `AnalyzerEngine` of presidio's pattern recognisers for one language."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry, predefined_recognizers
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    named = [getattr(predefined_recognizers, name) for name in (*_ANYWHERE, *_COUNTRY[language])]
    recognizers = [one(supported_language=language) for one in named]
    phones = predefined_recognizers.PhoneRecognizer(supported_language=language, supported_regions=_REGIONS[language])
    registry = RecognizerRegistry([*recognizers, phones, _emails(language)], supported_languages=[language])
    nothing = NoOpNlpEngine([{"lang_code": language, "model_name": ""}])
    return AnalyzerEngine(registry, nothing, supported_languages=[language])


def _emails(language: Language) -> Any:
    """Presidio's recogniser, with the list of domains that its package came with."""
    from presidio_analyzer.predefined_recognizers import EmailRecognizer
    from tldextract import TLDExtract

    domains = TLDExtract(cache_dir=None, suffix_list_urls=())
    recognizer: Any = EmailRecognizer(supported_language=language)
    recognizer.validate_result = lambda found: domains(found).fqdn != ""
    return recognizer
