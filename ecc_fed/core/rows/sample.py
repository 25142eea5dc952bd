"""A row of `samples.jsonl`: one reply to a test query, scored; by the shop before or after evolution, or by others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecc_fed.core.records import Turn
from ecc_fed.core.truth import FactScope

# What an evaluation answers the test queries with: the bare base, or what the shop has become.
EvaluationPhase = Literal["base", "final"]
# Whose reply a row holds. Beside those of the two evaluations: the cloud's, the human agent's, and another human
# reply, which answers another query; the last three are written once a run, with the final evaluation.
Phase = Literal["base", "final", "teacher", "human", "other"]


@dataclass(frozen=True, slots=True)
class FactRow:
    """One fact that a reply had to state, and what it did state.

    `seen`: the shop's training dialogues hold the fact with this value. `competing_stated`: values
    it must not state and did. `other_shop`: the shops whose value of this kind was stated; told after
    the run, and empty in a shop's own file, for no shop knows the others'. `taught`: how many training
    pairs of the shop hold the fact with this value; None in older files. `days_since_change`: from the
    day on which the value began to the test's; None where it never changed.
    """

    key: str
    kind: str
    scope: FactScope
    accepted: tuple[str, ...]
    seen: bool
    stated: bool
    competing_stated: tuple[str, ...]
    other_shop: tuple[str, ...]
    taught: int | None
    days_since_change: float | None

    @property
    def right(self) -> bool:
        """Stated, and no competing value beside it."""
        return self.stated and not self.competing_stated


@dataclass(frozen=True, slots=True)
class Signals:
    """What a device can know of a reply without any reference; None where it was not measured.

    `margin`: between the likeliest and the second token, averaged over the reply. `distance`: from the query to the
    nearest known one.
    """

    margin: float | None
    distance: float | None


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One reply to one test query. Judgement fields are None where no cloud reply was had.

    | phase | reply | judged | facts, chrF |
    |---|---|---|---|
    | base, final | the shop's | yes | yes, yes |
    | teacher | the cloud's own | no: it is what others are held against | yes, yes |
    | human | the human agent's own | yes | yes, no |
    | other | the human reply of another test dialogue of the shop | yes | no, no |

    `session_id`: the dialogue; rows of one dialogue are no independent draws. `extra`: asked beside the
    shop's test queries, without a human reply to hold it against, and so without chrF and likelihood.
    `confidence`: the router's calibrated chance that the reply is good; None, like `signals`, where
    nothing measured it.
    """

    shop_id: str
    pair_id: str
    session_id: str
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
    signals: Signals | None
    confidence: float | None
