"""How a shop evolves: what the groups `evolution`, `finetune` and `decoding` of a run say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from ecc_fed.core.protocols import Answering, EndModel, FeedbackSource, Judge, Redactor, TeacherGateway
from ecc_fed.core.ranges import require, require_one_of
from ecc_fed.core.records import Decoding, FineTuneSettings
from ecc_fed.evolution.answering.model import ModelAlone
from ecc_fed.evolution.private_training import PrivateTraining
from ecc_fed.evolution.scoring import Scoring
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.teacher.gateway.journal import CallJournal

Reference = Literal["always", "sampled", "gated", "routed"]
Examples = Literal["latest", "nearest"]
_SHARES = ("pseudo_share", "human_share", "reference_rate", "gate_relevance", "route_confidence", "explore_rate")


@dataclass(frozen=True)
class WarmStartSettings:
    """What every shop learns before its first round: its history and the cloud's generated replies.

    Raises:
        ConfigError: a value out of range.
    """

    # What `ecc-fed distill` wrote: its folder, or the distill.jsonl in it. null: no warm start.
    path: str | None = None
    # Of the examples, so many are generated, 0 to 1; the others are the shop's history. A source that is empty leaves
    # its share to the other.
    generated_share: float = 0.5
    # A schedule of its own, apart from that of the rounds.
    steps: int = 50
    # false: a shop learns from the rows of its own dialogues; true: the set is public, every shop learns from all.
    shared: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.generated_share <= 1, "evolution.warm_start.generated_share", self.generated_share, "0 to 1")
        require(self.steps >= 0, "evolution.warm_start.steps", self.steps, "0 or more")


@dataclass(frozen=True)
class EvolutionSettings:
    """One shop's loop.

    Raises:
        ConfigError: a value out of range.
    """

    # Rounds of the whole run; the stream is cut into server_rounds * cycles parts.
    server_rounds: int = 4
    # Evolution cycles (serve, judge, label, fine-tune) within one server round.
    cycles: int = 1
    # Of the examples of a cycle, so many are the cloud's pseudo-labels, 0 to 1.
    pseudo_share: float = 0.3
    # Of the streamed queries, so many were also answered by a human agent, so that the reply becomes a natural pair;
    # the others teach by pseudo-label alone.
    human_share: float = 0.5
    # always | sampled | gated | routed: which replies the cloud is asked about, for Eq. (1): all of them, a random
    # reference_rate of them, those whose relevance falls below gate_relevance, or those whose calibrated chance of
    # being good falls below route_confidence. An unhappy customer's always is.
    reference: Reference = "always"
    reference_rate: float = 0.2
    gate_relevance: float = 0.5
    # The chance is learned by the shop from its own stream; before it has learned it, all are asked about.
    route_confidence: float = 0.4
    # Of all queries, a random share is asked about besides, so that chances do not come from doubtful replies alone.
    explore_rate: float = 0.05
    # latest | nearest: the shop's own pairs in the cloud's prompt: its most recent teacher_examples (N of the paper's
    # Table II), or the nearest_examples whose queries are nearest to the customer's.
    examples: Examples = "latest"
    teacher_examples: int = 500
    nearest_examples: int = 32
    # Asked of every shop when it is evaluated, beside its test queries and apart from them: nobody knows the right
    # answer.
    extra_queries: tuple[str, ...] = ()
    warm_start: WarmStartSettings = WarmStartSettings()

    def __post_init__(self) -> None:
        require(self.server_rounds >= 0, "evolution.server_rounds", self.server_rounds, "0 or more")
        require(self.cycles >= 1, "evolution.cycles", self.cycles, "1 or more")
        for name in _SHARES:
            require(0 <= getattr(self, name) <= 1, f"evolution.{name}", getattr(self, name), "0 to 1")
        require_one_of("evolution.reference", self.reference, get_args(Reference))
        require_one_of("evolution.examples", self.examples, get_args(Examples))
        for name in ("teacher_examples", "nearest_examples"):
            require(getattr(self, name) >= 0, f"evolution.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True)
class LoopSettings:
    """All that a shop's loop goes by: when it asks and learns, how it fine-tunes, how it answers."""

    evolution: EvolutionSettings
    fine_tune: FineTuneSettings
    decoding: Decoding = field(default_factory=Decoding)
    # false: rounds are lived, experience grows, and the base answers without an adapter: nothing is fine-tuned.
    trains: bool = True
    # A budget of differential privacy; None: training is plain.
    private: PrivateTraining | None = None
    # Of the examples of a cycle, so many are agreed replies to public queries, where there are any, 0 to 1.
    public_share: float = 0.0

    @property
    def decay_steps(self) -> int:
        """Optimizer steps of a shop's whole run, over which its learning rate decays."""
        return self.evolution.server_rounds * self.evolution.cycles * self.fine_tune.steps


@dataclass(frozen=True)
class Services:
    """What all shops of a host share: the resident models, the way to the cloud, the wire log, the open calls.

    `answering` is how each of them makes replies of its model and its own examples, `scoring` what its score
    holds. `training_redactor` takes private values out of whatever is trained on; None: dialogues are learned as said.
    """

    end_model: EndModel
    judge: Judge
    gateway: TeacherGateway
    feedback: FeedbackSource
    ledger: MemoryLedger
    journal: CallJournal = field(default_factory=CallJournal)
    answering: Answering = field(default_factory=ModelAlone)
    scoring: Scoring = field(default_factory=Scoring)
    training_redactor: Redactor | None = None
