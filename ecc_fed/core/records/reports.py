"""What a shop tells the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Means over a shop's test pairs; the rows themselves stay with the shop."""

    num_examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
