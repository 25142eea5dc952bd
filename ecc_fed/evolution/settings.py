"""How a shop evolves: plain values, checked where they enter (`assembly.schema`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ecc_fed.core.protocols import EndModel, FeedbackSource, Judge, TeacherGateway
from ecc_fed.core.records import Decoding, FineTuneSettings
from ecc_fed.privacy.ledger import MemoryLedger

Reference = Literal["always", "sampled", "gated"]


@dataclass(frozen=True)
class EvolutionSettings:
    """One shop's loop.

    Attributes:
        server_rounds: rounds of the whole run; the stream is cut into `server_rounds * cycles` parts.
        cycles: evolution cycles (serve, judge, label, fine-tune) within one server round.
        pseudo_share: share of pseudo-labels among the examples of a cycle, 0 to 1.
        human_share: share of streamed queries that a human agent answered as well, so that the
            reply becomes a natural pair; the others teach by pseudo-label alone.
        reference: which replies the cloud is asked about, for Eq. (1): all of them, a random
            `reference_rate` of them, or those whose relevance falls below `gate_relevance` or
            whose customer is unhappy.
        teacher_examples: N of Table II, the shop's most recent natural pairs in the prompt.
        extra_queries: asked of every shop when it is evaluated, beside its test pairs and apart from
            them: nobody knows the right answer.
    """

    server_rounds: int
    fine_tune: FineTuneSettings
    cycles: int = 1
    pseudo_share: float = 0.3
    human_share: float = 0.5
    reference: Reference = "always"
    reference_rate: float = 0.2
    gate_relevance: float = 0.5
    teacher_examples: int = 500
    decoding: Decoding = field(default_factory=Decoding)
    extra_queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Services:
    """What all shops of a host share: the resident models, the way to the cloud, the wire log."""

    end_model: EndModel
    judge: Judge
    gateway: TeacherGateway
    feedback: FeedbackSource
    ledger: MemoryLedger
