"""A row of `samples.jsonl`: one test query, answered and scored before or after evolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecc_fed.core.records import Turn
from ecc_fed.core.truth import FactScope

Phase = Literal["base", "final"]


@dataclass(frozen=True, slots=True)
class FactRow:
    """One fact that a reply had to state, and what it did state.

    `seen`: the shop's training dialogues hold the fact with this value. `competing_stated`: values
    it must not state and did. `other_shop`: the shops whose value of this kind was stated; told after
    the run, and empty in a shop's own file, for no shop knows the others'.
    """

    key: str
    kind: str
    scope: FactScope
    accepted: tuple[str, ...]
    seen: bool
    stated: bool
    competing_stated: tuple[str, ...]
    other_shop: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Stated, and no competing value beside it."""
        return self.stated and not self.competing_stated


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One test query's reply in one phase. Judgement fields are None where no cloud reply was had.

    `extra`: asked beside the shop's test queries, without a human reply to hold it against, and so
    without chrF and likelihood.
    """

    shop_id: str
    pair_id: str
    phase: Phase
    extra: bool
    server_round: int
    context: tuple[Turn, ...]
    query: str
    reference: str
    reply: str
    cloud_reply: str | None
    intent: str | None
    form_id: str | None
    similarity: float | None
    relevance: float | None
    cloud_relevance: float | None
    final_score: float | None
    relevance_trusted: bool | None
    accepted: bool | None
    facts: tuple[FactRow, ...]
    chrf: float | None
    verbatim: bool
    nll_nats: float | None
    label_tokens: int | None
    characters: int | None
