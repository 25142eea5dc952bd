"""What a shop tells the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Means over a shop's test pairs; the rows themselves stay with the shop.

    `num_examples` is None where a shop told nothing but that it is done, as under secure aggregation.
    """

    num_examples: int | None
    metrics: Mapping[str, float] = field(default_factory=dict)
