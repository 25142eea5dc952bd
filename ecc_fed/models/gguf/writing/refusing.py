"""The one error for what a GGUF file cannot say."""

from __future__ import annotations

from ecc_fed.core.errors import ModelError
from ecc_fed.models.folder import refusal


def inexpressible(path: str, reason: str, remedy: str = "export it with --to merged") -> ModelError:
    """The error for a model that cannot be written, to be raised: which, why, and what to do."""
    return refusal("end model", path, f"cannot be written as GGUF: {reason}", remedy)
