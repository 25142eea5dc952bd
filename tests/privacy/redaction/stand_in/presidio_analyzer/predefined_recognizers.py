"""Its recognisers: a few that find something, and the rest, which do not."""

from __future__ import annotations

import re
from dataclasses import dataclass

import tldextract


@dataclass
class RecognizerResult:
    entity_type: str
    start: int
    end: int
    score: float


class PatternRecognizer:
    entity, pattern, score = "", None, 0.0

    def __init__(self, supported_language="en"):
        self.supported_language, self.supported_entities = supported_language, [self.entity]

    def validate_result(self, pattern_text):
        return None

    def analyze(self, text, entities):
        found = []
        for match in re.finditer(self.pattern, text) if self.pattern else ():
            valid = self.validate_result(match[0])
            score = self.score if valid is None else float(valid)
            found.append(RecognizerResult(self.entity, *match.span(), score))
        return found


class EmailRecognizer(PatternRecognizer):
    entity, score = "EMAIL_ADDRESS", 0.5
    pattern = r"\b[!#$%&'*+\-/=?^_`{|}~\w][!#$%&'*+\-/=?^_`{|}~.\w]*@\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b"

    def validate_result(self, pattern_text):
        return tldextract.extract(pattern_text).fqdn != ""


class CreditCardRecognizer(PatternRecognizer):
    entity, score = "CREDIT_CARD", 0.3
    pattern = r"\b(?!1\d{12}(?!\d))(?:4\d{3}|5[0-5]\d{2}|6\d{3}|1\d{3}|3\d{3})[- ]?\d{3,4}[- ]?\d{3,4}[- ]?\d{3,5}\b"

    def validate_result(self, pattern_text):
        digits = [int(sign) for sign in pattern_text if sign.isdigit()][::-1]
        return sum(sum(divmod(digit * (1 + place % 2), 10)) for place, digit in enumerate(digits)) % 10 == 0


class PhoneRecognizer(PatternRecognizer):
    entity, score = "PHONE_NUMBER", 0.4

    def __init__(
        self, context=None, supported_language="en", supported_entity="PHONE_NUMBER", supported_regions=("US",)
    ):
        super().__init__(supported_language)
        chinese, american = r"(?<!\d)1[3-9]\d{9}(?!\d)", r"(?<!\d)\(?\d{3}\)?[ -]\d{3}-\d{4}(?!\d)"
        self.pattern = "|".join([chinese] * ("CN" in supported_regions) + [american] * ("US" in supported_regions))


class UsBankRecognizer(PatternRecognizer):
    entity, pattern, score = "US_BANK_NUMBER", r"\b[0-9]{8,17}\b", 0.05


def _other(name, entity):
    return type(name, (PatternRecognizer,), {"entity": entity})


IbanRecognizer = _other("IbanRecognizer", "IBAN_CODE")
CryptoRecognizer = _other("CryptoRecognizer", "CRYPTO")
IpRecognizer = _other("IpRecognizer", "IP_ADDRESS")
MacAddressRecognizer = _other("MacAddressRecognizer", "MAC_ADDRESS")
UsSsnRecognizer = _other("UsSsnRecognizer", "US_SSN")
UsItinRecognizer = _other("UsItinRecognizer", "US_ITIN")
UsPassportRecognizer = _other("UsPassportRecognizer", "US_PASSPORT")
UsLicenseRecognizer = _other("UsLicenseRecognizer", "US_DRIVER_LICENSE")
NhsRecognizer = _other("NhsRecognizer", "UK_NHS")
UkNinoRecognizer = _other("UkNinoRecognizer", "UK_NINO")
