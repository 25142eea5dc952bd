"""What is made of a reply: by Eq. (1), and by the customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Judgement:
    """Eq. (1) for one reply. `relevance_trusted` is False where Theta sent the score to similarity alone."""

    similarity: float
    relevance: float
    cloud_relevance: float
    final_score: float
    relevance_trusted: bool
    accepted: bool


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the customer made of a reply."""

    satisfied: bool
    source: Literal["simulated", "human"] = "simulated"
