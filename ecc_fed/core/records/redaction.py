"""What redaction keeps on a device, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hidden:
    """A private value that stays on the device. `placeholder` stands for it on the wire; empty: the device knows it.

    `kind` is a class of values, such as phone; values of the kind "typed" are no secret.
    """

    kind: str
    value: str
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """A reply with its customer's own values in their places; `unknown` are placeholders of nobody here, left out."""

    text: str
    values: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedactionCounts:
    """What redaction did on the way to the cloud and back; sums over requests.

    Attributes:
        values: different values taken out of a dialogue, by class.
        example_values: the same of the few-shot examples that went with it, all classes together.
        restored: replies in which a customer's own value came back.
        unknown: placeholders in replies that stood for nothing, and were left out.
        refused: replies that held a placeholder or value of an example's customer, and were kept from this one.
    """

    values: Mapping[str, int] = field(default_factory=dict)
    example_values: int = 0
    restored: int = 0
    unknown: int = 0
    refused: int = 0

    def __add__(self, other: RedactionCounts) -> RedactionCounts:
        kinds = sorted({*self.values, *other.values})
        return RedactionCounts(
            {kind: self.values.get(kind, 0) + other.values.get(kind, 0) for kind in kinds},
            self.example_values + other.example_values,
            self.restored + other.restored,
            self.unknown + other.unknown,
            self.refused + other.refused,
        )
