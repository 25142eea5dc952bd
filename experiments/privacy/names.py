"""Redactions by name, as the measurements take them on their command lines."""

from __future__ import annotations

from ecc_fed.core.errors import UserError
from ecc_fed.core.protocols import Redactor
from ecc_fed.privacy.redaction.model import ModelRedaction
from ecc_fed.privacy.redaction.placeholders import Language
from ecc_fed.privacy.redaction.plain import NoRedaction
from ecc_fed.privacy.redaction.presidio import PresidioRedaction
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction

# "_alone": without our patterns behind the engine's.
NAMES = ("none", "patterns", "order_record", "presidio", "presidio_alone", "model", "model_alone")


def by_name(name: str, language: Language = "zh", model: str | None = None) -> Redactor:
    """A redaction.

    Args:
        name: one of `NAMES`.
        language: of placeholders and recognisers.
        model: the folder of the redaction model.

    Raises:
        UserError: a model without a folder, a package that is not installed.
    """
    engine = name.removesuffix("_alone")
    if engine == "presidio":
        return PresidioRedaction(language, patterns=engine == name)
    if engine == "model":
        if model is None:
            raise UserError("--redaction model needs --model FOLDER, a token classifier.")
        return ModelRedaction(model, language, patterns=engine == name)
    if name == "none":
        return NoRedaction()
    return PatternRedaction(language) if name == "patterns" else OrderRecordRedaction(language)
