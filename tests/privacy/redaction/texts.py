"""A customer with a record, and short ways to redact what they say."""

from __future__ import annotations

from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction
from ecc_fed.privacy.redaction.session import PlaceholderSession

RECORD = OrderRecord(
    "王志强",
    "13800001111",
    "北京市朝阳区人民路12号阳光花园3栋1201室",
    ("2345678901234567",),
    ("SF123456789012",),
)
ENGLISH = OrderRecord(
    "May Price", "5551234567", "12 Main Street, Springfield, IL 62704", ("12345678",), ("1Z999AA10123456784",)
)


def said(*texts: str) -> list[Turn]:
    return [Turn("customer", text) for text in texts]


def by_record(*texts: str, known: OrderRecord | None = RECORD) -> PlaceholderSession:
    return OrderRecordRedaction().redact(said(*texts), known)


def by_patterns(*texts: str, language: str = "zh") -> PlaceholderSession:
    return PatternRedaction(language).redact(said(*texts), None)


def sent(session: PlaceholderSession) -> list[str]:
    return [turn.text for turn in session.turns]


def taken(session: PlaceholderSession) -> list[tuple[str, str]]:
    return [(each.kind, each.value) for each in session.hidden if each.placeholder]
